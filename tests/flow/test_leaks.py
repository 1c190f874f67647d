"""What must never be printed or logged: a row's text, a password, a connection string; looked for in failing runs."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Guarded, Lake, Server
from tests.fixtures.examples import in_turn
from tests.flow.support import load, rows
from tests.sql.fake_model import Fake, make_worker

TEXT = "Marzipan-Vertraulich"  # stands for what a row holds
PASSWORD = "Hunter-Zwei"
ROW = {"id": 1, "text": f"{TEXT} is what this row is about, a sentence long enough"}


def everything(result, database: Database | None = None) -> str:
    """All that a run left behind: both streams, the log files, and the errors that the database keeps."""
    kept = [log.read_text() for log in Path().glob("*.log")]
    if database:
        kept += [str(row) for row in rows(database, "select error from pgpipe.load where error is not null")]
        kept += [str(row) for row in rows(database, "select last_error from pgpipe.job where last_error is not null")]
    return "\n".join([result.out, result.err, *kept])


def trigger(expression: str) -> str:
    """SQL that puts a trigger on the target, which computes something of a row's text."""
    return f"""
        create function compute() returns trigger language plpgsql as $$ begin perform {expression}; return new; end $$;
        create trigger compute before insert or update on product for each row execute function compute()
    """


# What the owner of a target may have put on it, and the word of the error that the server then makes.
FAULTS = {
    "unique violation": ("create unique index on product (left(text, 8))", "duplicate key"),
    "check": ("alter table product add check (text not like 'Marz%') not valid", "violates check constraint"),
    "not null": (
        trigger("null").replace("perform null;", "new.id := null;"),
        "null value in column",
    ),
    "bad cast": (trigger("new.text::int"), "invalid input syntax for type integer"),
    "bad date": (trigger("new.text::date"), "invalid input syntax for type date"),
    "division": (trigger("1 / (length(new.text) * 0)"), "division by zero"),
}


@pytest.mark.parametrize(("fault", "mode"), in_turn([(fault,) for fault in FAULTS], ["upsert", "append"]))
def test_no_text_of_a_row(cli: Cli, database: Database, lake: Lake, fault: str, mode: str) -> None:
    """A load that the target refuses: by merge (DETAIL quotes the row) and by COPY (CONTEXT quotes the line)."""
    prepare, word = FAULTS[fault]
    lake.put("2026-01-01", "product", [{"id": 0, "text": "Marzipan and other words of harmless prose"}])
    load(cli, lake.url, "--key", "id", "--mode", mode)
    with database.connect(autocommit=True) as conn:
        conn.execute("delete from product" if fault != "unique violation" else "select 1")
        conn.execute(prepare.encode())
    lake.put("2026-01-02", "product", [ROW])

    result = cli(
        "-v", "--log-file", "all.log", "load", "--source", lake.url, "--key", "id", "--mode", mode, "--skip-embeddings"
    )

    assert result.code == 1, result
    assert word in result.err
    assert "stage" in Path("all.log").read_text()
    assert TEXT not in everything(result, database)


def test_a_fault_in_a_component_does_not_quote_a_row(
    cli: Cli, database: Database, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception that nobody foresaw, its causes included, loses what stands in quotes; its places are logged."""
    from pgpipe.load.loader import Loader

    def broken(*_: object) -> None:
        try:
            int(ROW["text"])
        except ValueError as exc:
            raise RuntimeError(f"cannot use '{ROW['text']}'") from exc

    lake.put("2026-01-01", "product", [ROW])
    monkeypatch.setattr(Loader, "load", broken)

    result = cli("run", "--source", lake.url, "--key", "id")

    written = everything(result, database)
    assert result.code == 1
    assert "RuntimeError: cannot use …" in written
    assert "invalid literal for int() with base 10: …" in written
    assert "test_leaks.py" in written
    assert TEXT not in written


def test_a_model_that_quotes_its_text(database: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """The error that a job keeps, and the log of it, say what failed without the text."""

    def fault(texts: list[str]) -> None:
        for text in texts:
            if TEXT in text:
                raise ValueError(f"cannot read {text!r}")

    with database.connect(autocommit=True) as conn:
        conn.execute("create table product (id int primary key, text text)")
        conn.execute("insert into product values (%s, %s), (2, 'other words')", (ROW["id"], ROW["text"]))
        conn.execute("select pgpipe.enable_embedding('product', '{text}', 'fake', 3)")

    make_worker(database, Fake(fault)).drain()

    assert rows(database, "select last_error from pgpipe.job") == [("ValueError: cannot read …",)]
    assert TEXT not in "".join(capsys.readouterr())


def test_no_password_where_the_login_is_refused(
    cli: Cli, guarded: Guarded, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong password, in each form of a connection string, verbose and in a log file."""
    lake.put("2026-01-01", "product", [ROW])
    for url in (
        f"{guarded.url} user=postgres password={PASSWORD}",
        f"{guarded.url} user=postgres password='{PASSWORD} and more'",
    ):
        monkeypatch.setenv("DATABASE_URL", url)
        result = cli("-v", "--log-file", "all.log", "run", "--source", lake.url)
        assert result.code == 3
        assert "password authentication failed" in result.err
        assert PASSWORD not in everything(result)


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://app:{PASSWORD}@127.0.0.1:1/app",
        f"postgresql://app:hunter@{PASSWORD}@127.0.0.1:1/app",
        f"postgresql://127.0.0.1:1/app?user=app&password={PASSWORD}",
        f"postgresql://app:{PASSWORD}@[::1/app",
        f"host=127.0.0.1 port=1 password={PASSWORD} nonsense",
        f"postgresql:/app:{PASSWORD}@127.0.0.1/app",
    ],
)
def test_no_connection_string(cli: Cli, lake: Lake, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """No server there, an @ in the password, a string that cannot be read: one line without it."""
    lake.put("2026-01-01", "product", [ROW])
    monkeypatch.setenv("DATABASE_URL", url)
    for arguments in (["status"], ["run", "--source", lake.url], ["migrate"], ["search", "x"]):
        result = cli("-v", "--log-file", "all.log", *arguments)
        assert result.code in {2, 3}, result
        assert PASSWORD not in everything(result)
        assert "postgresql:/" not in everything(result).replace("write postgresql://user@host/dbname", "")


def test_every_line_has_the_run_and_the_file_its_name(cli: Cli, lake: Lake) -> None:
    """`run` writes pipeline_YYYYMMDD.log where it stands, key=value or JSON; one run, one id; a second one appends."""
    lake.put("2026-01-01", "product", [ROW])
    name = f"pipeline_{datetime.now().astimezone():%Y%m%d}.log"
    for _ in range(2):
        assert cli("run", "--source", lake.url, "--key", "id", "--skip-embeddings").code == 0
    lines = Path(name).read_text().splitlines()
    runs = [re.search(r" run=([0-9a-f]{8}) ", line) for line in lines]
    assert all(runs)
    assert len({found[1] for found in runs if found}) == 2
    assert any("stage=import" in line and "inserted=1" in line for line in lines)

    assert cli("--log-file", "j.log", "--log-format", "json", "load", "--source", lake.url).code == 0
    told = [json.loads(line) for line in Path("j.log").read_text().splitlines()]
    assert len({event["run"] for event in told}) == 1
    assert {"timestamp", "level", "event"} <= set(told[0])


def test_a_terminal_gets_words_and_quiet_is_quiet(server18: Server, lake: Lake, tmp_path: Path) -> None:
    """Human lines on a terminal's stderr, key=value in a pipe, nothing for -q."""
    server18.create("logs")
    lake.put("2026-01-01", "product", [ROW])
    environment = os.environ | {"DATABASE_URL": server18.at("logs"), "TERM": "xterm"}
    command = [sys.executable, "-W", "ignore", "-m", "pgpipe"]
    subprocess.run([*command, "migrate"], env=environment, cwd=tmp_path, check=True, capture_output=True)
    job = ["load", "--source", lake.url, "--skip-embeddings", "--key", "id"]

    def pgpipe(*options: str, **streams: Any) -> Any:
        return subprocess.run([*command, *options, *job], env=environment, cwd=tmp_path, check=True, **streams)

    primary, secondary = os.openpty()
    pgpipe("-v", stdout=subprocess.PIPE, stderr=secondary)
    os.close(secondary)
    human = os.read(primary, 1 << 16).decode()
    os.close(primary)
    piped = pgpipe("-v", capture_output=True, text=True)
    quiet = pgpipe("-q", capture_output=True, text=True)

    assert "\x1b[" in human
    assert "event=stage" not in human
    assert "event=stage" in piped.stderr
    assert quiet.stderr == ""


def test_masks() -> None:
    """Values of secrets go, what surrounds them stays."""
    from pgpipe.mask import said
    from pgpipe.secret import mask, scrub

    assert mask("see postgresql://a:b@c@h/d now") == "see postgresql://a:***@h/d now"
    assert scrub("see postgresql://a:b@h/d now") == "see postgresql://… now"
    assert mask("host=h password='a b' user=u") == "host=h password=*** user=u"
    assert mask("aws_secret_access_key = abc/def") == "aws_secret_access_key = ***"
    assert mask("no secret here, 5 tokens left") == "no secret here, 5 tokens left"
    assert said(KeyError("a name")) == "KeyError: …"
    assert said(FileNotFoundError(2, "No such file", "/a/b")) == "FileNotFoundError: [Errno 2] No such file: '/a/b'"
    assert said(psycopg.OperationalError()) == "OperationalError"
