"""Passwords, keys and signatures: put into every place of URLs and connection strings, and looked for everywhere."""

import json
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote

import fsspec
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from pgpipe.db import Database
from pgpipe.errors import PgpipeError
from pgpipe.secret import address, mask, scrub
from tests.conftest import Cli
from tests.flow.support import rows
from tests.flow.test_sources import parquet

CORE = "Hunter2"  # what no output may hold
IN_CONNECTIONS = ["password", "sslpassword", "oauth_client_secret", "options"]
IN_QUERIES = [
    *IN_CONNECTIONS, "sig", "token", "access_token", "api_key", "apikey", "api-key", "X-Amz-Signature",
    "X-Amz-Security-Token", "X-Goog-Signature", "AWSAccessKeyId", "Signature", "account_key", "SharedAccessSignature",
    "client_secret", "sas", "pass", "pwd", "pass%77ord", "X%2DAmz%2DSignature",
]  # fmt: skip
anything = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=6)
secret = anything.map(lambda s: f"{s}{CORE}{s}")
# Characters that end a userinfo, or a parameter, stand percent-encoded in an address; these also may stand raw.
raw = st.text("abcXYZ019!$*+,:;=@'()~_.-", max_size=6).map(lambda s: f"{s}{CORE}{s}")
written = secret.map(lambda s: quote(s, safe="")) | raw
scheme = st.sampled_from(["postgresql", "postgres", "https", "sftp", "webdav+https", "ftp", "memory"])


@given(scheme, written, st.booleans())
def test_userinfo(scheme: str, password: str, named: bool) -> None:
    """K8: the password of a URL is masked within any text, and an address is stored without it."""
    url = f"{scheme}://{'user' if named else ''}:{password}@host.example.com:22/some/path"

    assert CORE not in mask(f"before {url} after")
    assert CORE not in mask(url, alone=True)
    assert CORE not in str(PgpipeError(f"cannot read {url}: gone"))
    assert "some/path" in mask(url)
    assert address(url) == f"{scheme}://host.example.com:22/some/path"


@given(scheme, st.sampled_from(IN_QUERIES), secret.map(lambda s: quote(s, safe="")) | raw, st.booleans())
def test_queries(scheme: str, name: str, value: str, first: bool) -> None:
    """K8: so is a parameter that signs or opens, by its name; the others are printed, and none of them is stored."""
    query = f"{name}={value}&region=eu" if first else f"region=eu&{name}={value}"
    url = f"{scheme}://host/path?{query}"

    for text in (mask(f"before {url} after"), mask(url, alone=True), scrub(f"at {url}")):
        assert CORE not in text
    assert "region=eu" in mask(url)
    assert address(url) == f"{scheme}://host/path"


@pytest.mark.parametrize(
    "text",
    [
        f"postgresql://user@server:{CORE}@host/db", f"https://{CORE}@host/path", f"at https://{CORE}@host: gone",
        f"at sftp://user:x {CORE}@host/path", f"at https://user:1/{CORE}@host/path", f"Authorization: Bearer {CORE}",
        f"{{'authorization': 'Basic {CORE}'}}", f"refused the header bearer {CORE}", f"https://host/?key={CORE}",
        f"https://host/?a=b&code={CORE}", f"https://host/?auth={CORE}", f"client_key={CORE}", f"db.jwt={CORE}",
    ],
)  # fmt: skip
def test_odd_places(text: str) -> None:
    """K8: a user name with an @, a token for a user, a password with a blank or a slash, headers, queries."""
    assert CORE not in mask(text)
    assert CORE not in mask(text, alone=True)
    assert CORE not in str(PgpipeError(text))


@given(st.sampled_from(IN_CONNECTIONS), secret, st.sampled_from(["=", " = "]))
def test_connection_strings(name: str, value: str, equals: str) -> None:
    """K8: so is a value of a connection string, with blanks, quotes and backslashes in it, as libpq quotes it."""
    made = make_conninfo(**{"host": "db", name: value, "user": "app"}) if name != "oauth_client_secret" else ""
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    for conninfo in filter(None, [made, f"host=db {name}{equals}'{escaped}' user=app"]):
        assert CORE not in mask(conninfo), conninfo
        assert CORE not in mask(f"cannot connect with {conninfo}")
        assert "host=db" in mask(conninfo)


LONG = ["a", ":", "@", "://", "://a:", "://a:1", "://a:b ", "key=value", "password=x ", "password=x&", "?password=x&"]
LONG += ["authorization=", "bearer ", "http://a", "pw='\\'", " ", "a.", "'", "\\"]


def test_long_texts() -> None:
    """The work grows with the length of a text, whatever it is made of; with its square it would take hours."""
    code = f"""
import resource
from pgpipe.secret import mask
resource.setrlimit(resource.RLIMIT_CPU, (60, 60))
for piece in {LONG!r}:
    for alone in (False, True):
        mask(piece * (200_000 // len(piece)), alone=alone)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_what_is_no_secret_stays() -> None:
    """K8: addresses keep what is part of a name, and prose is not masked."""
    for url in (
        "file:///lake/a@b/part?sig=1.parquet", "s3://bucket/a?token=x@y.parquet", "sftp://host/a@b/c.parquet",
        "abfss://container@account.dfs.core.windows.net/path", "https://host:8443/a@b", "memory://lake/x?version=3",
    ):  # fmt: skip
        assert address(url) == url
    for text in (
        "passfile=/etc/pass", "options: a, b", "embedding.max_tokens = 512", "5 tokens left", "https://h:80/", "key=7",
        "code: 5", "https://h:80/x is not there, a@b", "file:///lake/a@b", "abfss://container@account/x",
    ):  # fmt: skip
        assert mask(text) == text


COMMANDS = [
    ["config", "show"],
    ["config", "show", "--json"],
    ["doctor", "--skip-model"],
    ["doctor", "--skip-model", "--json"],
    ["plan"],
    ["plan", "--json"],
    ["-v", "--log-file", "all.log", "load", "--skip-embeddings"],
    ["load", "--json", "--skip-embeddings"],
    ["status", "--json"],
]


@pytest.fixture
def secrets(cli: Cli, database: Database, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Cli]:
    """A source, an endpoint and a database, each with a password; returns the source's address, and a command line."""
    memory = fsspec.filesystem("memory")
    memory.store.clear()
    root = f"/user:{CORE}@lake"
    good = parquet(pa.table({"id": [1, 2], "text": ["a", "b"]}))
    memory.pipe(f"{root}/2026-01-01/book/part-0.parquet", good)
    memory.pipe(f"{root}/2026-01-01/bad/part-0.parquet", good[:-20])
    memory.pipe(f"{root}/2026-01-01/rejects/part-0.parquet", parquet(pa.table({"id": [1], "text": ["a\0b"]})))
    Path("pgpipe.toml").write_text(
        f"""[source]
        url = "memory:/{root}"
        endpoint_url = "https://user:{CORE}@minio.example.com:9000"
        [entity.rejects]
        bad_values = "reject"
        """,
        encoding="utf-8",
    )
    login = make_conninfo(database.url, password=f"{CORE} x", options=f"-c application_name={CORE}")
    monkeypatch.setenv("DATABASE_URL", login)
    return f"memory:/{root}", cli


def test_no_command_shows_or_stores_a_secret(secrets: tuple[str, Cli], database: Database) -> None:
    """K8: config show, doctor, plan, load with errors, status and logs; the ledger, its errors and rejected rows."""
    source, cli = secrets
    shown = []
    for command in COMMANDS:
        result = cli(*command)
        shown.append(result.out + result.err)
        assert CORE not in shown[-1], command
    assert CORE not in str(cli("plan", "--source", source + "x"))
    assert "bad/part-0.parquet" in shown[-3]
    assert CORE not in Path("all.log").read_text(encoding="utf-8")
    stored = rows(database, "select to_jsonb(f)::text from pgpipe.load_file f")
    stored += rows(database, "select to_jsonb(r)::text from pgpipe.rejected_row r")
    stored += rows(database, "select to_jsonb(l)::text from pgpipe.load l")
    assert CORE not in str(stored)
    assert "memory://lake/2026-01-01/rejects/part-0.parquet" in str(stored)
    assert re.search(r"bad/part-0.parquet", str(stored) + shown[-3])


def test_an_error_that_nobody_foresaw(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """K8: a filesystem's own error is one line, and one of our own faults a traceback, neither with a secret."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://127.0.0.1:1/x")
    refused = cli("plan", "--source", f"ftp://user:{CORE}@127.0.0.1:1/x")
    assert (refused.code, refused.err.count("\n")) == (3, 1)

    def fail(*_: object) -> None:
        raise RuntimeError(f"no answer from https://user:{CORE}@host")

    monkeypatch.setattr("pgpipe.cli.plan.open_source", fail)
    unforeseen = cli("plan", "--source", "memory://x")
    assert unforeseen.code == 1
    assert "RuntimeError: no answer from https://user:***@host" in unforeseen.err
    assert CORE not in str(refused) + str(unforeseen)


def test_a_file_under_its_old_address(secrets: tuple[str, Cli], database: Database) -> None:
    """K8: a file that 0.1.0 entered with its password is not loaded a second time."""
    source, cli = secrets
    assert cli("load", "--entity", "book", "--mode", "append", "--skip-embeddings").code == 0
    with database.connect() as conn:
        conn.execute("update pgpipe.load_file set file = replace(file, 'memory://lake', %s)", (source,))

    again = cli("load", "--entity", "book", "--mode", "append", "--json", "--skip-embeddings")

    assert [s["state"] for s in json.loads(again.out)["stages"] if s["stage"] == "import"] == ["nothing to do"]
    assert rows(database, "select count(*) from book") == [(2,)]
