"""What the page must not do: run or show what it should not, answer strangers, write, tell secrets."""

import json
import re

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from pgpipe import errors
from pgpipe.db import Database
from pgpipe.settings.model import DatabaseSettings, EmbeddingSettings
from pgpipe.web.guard import HEADERS, hostname
from pgpipe.web.queries import reading
from tests.conftest import Cli, Server
from tests.fixtures.examples import examples
from tests.flow.support import fails
from tests.sql.fake_model import Fake
from tests.web.conftest import HOSTILE, serving
from tests.web.support import columns, get

PATHS = [
    *("/", "/?k=x&q=y", "/api/search", "/api/status", "/api/throughput", "/metrics", "/healthz"),
    *("/static/style.css", "/nowhere", "/live", "/static/live.js"),
]


def test_hostile_texts_are_escaped(page: str, filled: Database) -> None:
    """Rows, questions, filters, entities, errors: no tag of theirs reaches the page as a tag."""
    with filled.connect() as conn:
        conn.execute("insert into doc values (5, %s, %s, 1)", (f"jacket {HOSTILE}", f"{HOSTILE} jacket"))
        conn.execute(
            "insert into pgpipe.load (entity, date, mode, finished_at, error) values (%s, now(), 'append', now(), %s)",
            (HOSTILE, HOSTILE),
        )

    for parameters in (
        {"q": f"jacket {HOSTILE}", "entity": "doc"},
        {"q": "jacket", "entity": HOSTILE, "k": HOSTILE},
        {"q": "jacket", "entity": "doc", "column": HOSTILE, "is": "eq", "value": HOSTILE},
        {"q": "jacket", "entity": "doc", "column": "id", "is": HOSTILE, "value": HOSTILE},
        {"q": "jacket", "entity": "doc", "filter": HOSTILE},
    ):
        response = get(page, **parameters)
        assert "&lt;script&gt;" in response.text
        assert not re.search(r"<script(?! src=./static/\w+\.js. defer></script>)|<img", response.text)


@pytest.mark.parametrize("path", PATHS)
def test_every_response_carries_the_headers(page: str, path: str) -> None:
    """Also errors and files."""
    response = httpx.get(page + path, timeout=30)

    assert {name: response.headers[name] for name in HEADERS} == HEADERS


@pytest.mark.parametrize(
    ("host", "code"),
    [("evil.example", 421), ("127.0.0.1.evil.example:80", 421), ("", 421), ("localhost:1", 200), ("[::1]:8425", 200)],
)
def test_only_our_own_names_are_answered(page: str, host: str, code: int) -> None:
    """DNS rebinding: a foreign name that resolves to loopback gets nothing."""
    response = httpx.get(f"{page}/api/status", headers={"host": host})

    assert response.status_code == code
    assert code == 200 or "doc" not in response.text


def test_hostname_of_a_host_header() -> None:
    """Ports go, brackets stay."""
    assert [hostname(h) for h in ("LocalHost:80", "[::1]", "[::1]:80", "a.b")] == ["localhost", "[::1]", "[::1]", "a.b"]


@settings(max_examples=examples(15, 60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(q=st.text(max_size=40), column=st.text(max_size=10), value=st.text(max_size=10), where=st.text(max_size=20))
def test_no_question_breaks_it(page: str, q: str, column: str, value: str, where: str) -> None:
    """Whatever is typed: an answer, or a line that says what is wrong; never an internal error."""
    encode = str.encode
    form = {
        "q": encode(q, errors="surrogatepass"), "column": encode(column, errors="surrogatepass"), "is": "eq",
        "value": encode(value, errors="surrogatepass"),
    }  # fmt: skip
    with httpx.Client(base_url=page, timeout=30) as client:
        assert client.get("/", params={**form, "entity": "doc"}).status_code in {200, 400}
        answered = client.get("/api/search", params={"q": form["q"], "filter": json.dumps({column: value})})
        assert answered.status_code in {200, 400}, answered.text
        assert client.get("/api/search", params={"q": "a", "filter": where.encode(errors="replace")}).status_code < 500


def test_a_request_cannot_write(filled: Database) -> None:
    """Whatever a function that is called might try: the transaction is read-only."""
    with pytest.raises(errors.DatabaseError, match="read-only"), reading(filled) as conn:
        conn.execute("delete from doc")
    with pytest.raises(errors.DatabaseError, match="read-write"), reading(filled) as conn:
        conn.execute("set transaction read write")


def test_pgpipe_reader_is_enough(filled: Database, server18: Server) -> None:
    """Search in all modes, state and metrics with the rights of the role that may only read."""
    with filled.connect() as conn:
        conn.execute("select pgpipe.create_roles('public')")
        name = conn.info.dbname
    url = make_conninfo(server18.at(name), user="pgpipe_reader")
    with serving(Database(DatabaseSettings(url=url))) as page:
        get(page)
        while "being loaded" in (response := get(page, q="waterproof jacket", entity="doc")).text:
            pass
        metrics = get(page, "/metrics").text

    assert [mode for mode, column in columns(response).items() if "<li>" in column] == ["text", "vector", "hybrid"]
    assert "2026-01-02" in response.text
    assert "pgpipe_up 1.0" in metrics


def test_no_secret_is_shown() -> None:
    """A database that refuses, or is not there: the line says so without the password."""
    gone = Database(DatabaseSettings(url="postgresql://somebody:hunter2@127.0.0.1:1/shop"))
    with serving(gone) as url:
        for path in ("/", "/?q=x", "/api/status", "/api/search?q=x", "/healthz"):
            response = httpx.get(url + path, timeout=30)
            assert response.status_code == 503
            assert "hunter2" not in response.text
            assert "does not answer" in response.text
        metrics = get(url, "/metrics").text
    assert "pgpipe_up 0.0" in metrics
    assert "hunter2" not in metrics


def test_no_secret_of_an_old_error_is_shown(page: str, filled: Database) -> None:
    """Not even where some error was stored with one."""
    told = "cannot reach postgresql://somebody:hunter2@db/shop"
    with filled.connect() as conn:
        conn.execute(
            "insert into pgpipe.load (entity, date, mode, finished_at, error)"
            " values ('doc', now(), 'append', now(), %s)",
            (told,),
        )
        conn.execute(
            "insert into pgpipe.job (embedding_id, key, visible_at, last_error, dead_at)"
            " values (1, '{\"id\": 99}', 'infinity', %s, now())",
            (told,),
        )

    for path in ("/", "/api/status", "/api/throughput"):
        text = get(page, path).text
        assert "hunter2" not in text
        assert "cannot reach" in text


def test_serve_refuses_what_it_should_not_do(cli: Cli, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other addresses than loopback, a port that is taken, a database of its own that is not there: one line."""
    fails(cli("serve", "--host", "0.0.0.0"), 2, "serve.host", "127.0.0.1")
    fails(cli("serve", "--port", page.rpartition(":")[2]), 3, "cannot be listened on")
    monkeypatch.setenv("PGPIPE_SERVE__URL", "postgresql://pgpipe_reader@127.0.0.1:1/shop")
    fails(cli("serve"), 3, "does not answer")


def test_a_fault_of_ours_quotes_nothing(filled: Database, logged: list[dict]) -> None:
    """An error that nobody foresaw: one line, all headers, and a log without what its message quotes."""

    def load(_: EmbeddingSettings) -> Fake:
        raise ValueError("the row 'secret prose'")

    with serving(filled, load) as url:
        get(url)
        while (response := get(url, "/api/search", q="jacket", mode="vector")).status_code == 503:
            pass
        page = get(url, q="jacket", entity="doc")

    assert response.json() == {"error": "a fault of pgpipe: ValueError; the log of `pgpipe serve` says where"}
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert page.status_code == 500
    faults = [entry for entry in logged if entry["event"] == "unexpected error"]
    assert [entry["path"] for entry in faults] == ["/api/search", "/"]
    assert "ValueError" in faults[0]["exception"]
    assert "secret prose" not in f"{response.text}{page.text}{logged}"
