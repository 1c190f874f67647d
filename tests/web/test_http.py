"""What the page answers over HTTP."""

import json
import re
import signal
import subprocess
import sys
import threading
from typing import Any

import httpx
import jsonschema
import openapi_spec_validator
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from pgpipe import errors
from pgpipe.config import DatabaseSettings, EmbeddingSettings
from pgpipe.db import Database
from pgpipe.errors import ModelError
from pgpipe.web.guard import HEADERS, hostname
from pgpipe.web.openapi import PATHS
from pgpipe.web.queries import reading
from tests.conftest import Cli, Server
from tests.flow.support import fails
from tests.sql.fake_model import Fake
from tests.web.conftest import HOSTILE, fill, serving


def get(url: str, path: str = "/", **parameters: Any) -> httpx.Response:
    return httpx.get(url + path, params=parameters, timeout=30)


def columns(response: httpx.Response) -> dict[str, str]:
    """The three columns of answers, by mode."""
    found = re.findall(r'<section class="mode" aria-labelledby="mode-(\w+)">(.*?)</section>', response.text, re.DOTALL)
    return dict(found)


def test_a_question_is_answered_in_three_columns(page: str) -> None:
    """Text marks the words of the question; each mode has its own ranks."""
    response = get(page, q="waterproof jacket", entity="doc")

    answered = columns(response)
    assert (response.status_code, list(answered)) == (200, ["text", "vector", "hybrid"])
    assert "<mark>waterproof</mark>" in answered["text"]
    assert "vector 1" in answered["vector"]
    assert "text 1" in answered["hybrid"]


def test_state_of_an_entity(page: str, filled: Database) -> None:
    """Freshness, coverage, queue, the last loads with their errors, and dead jobs."""
    with filled.connect() as conn:
        conn.execute("insert into doc values (4, 'New', 'not embedded yet', 1)")
        conn.execute(
            "insert into pgpipe.job (embedding_id, key, visible_at, last_error, dead_at)"
            " values (1, '{\"id\": 99}', 'infinity', 'the text is poison', now())"
        )
        conn.execute(
            "insert into pgpipe.load (entity, date, mode, finished_at, error)"
            " values ('doc', '2026-01-03', 'upsert', now(), 'part-0.parquet has no column id')"
        )

    text = get(page).text

    for shown in ("2026-01-02", "part-0.parquet has no column id", "the text is poison", "Newest date", "<svg"):
        assert shown in text
    (entity,) = get(page, "/api/status").json()["entities"]
    assert entity["last_load"]["state"] == "failed"
    assert [entity["embeddings"][0][n] for n in ("waiting", "dead", "rows", "coverage")] == [1, 1, 4, 0.5]


def test_an_empty_database_says_what_to_do(database: Database) -> None:
    """The first look, before anything was loaded."""
    with serving(database) as url:
        response = get(url)

    assert response.status_code == 200
    assert "Nothing is searchable yet" in response.text


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
        assert not re.search(r"<script|<img", response.text)


@pytest.mark.parametrize("path", [*PATHS, "/", "/api", "/openapi.json", "/static/style.css", "/nowhere", "/?k=x&q=y"])
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


def test_every_endpoint_is_documented_and_answers_as_documented(page: str) -> None:
    """Each JSON answer fits the schema that the OpenAPI document gives it."""
    document = get(page, "/openapi.json").json()
    readable = get(page, "/api").text

    openapi_spec_validator.validate(document)
    assert set(document["paths"]) == set(PATHS)
    for path, operations in document["paths"].items():
        response = get(page, path, q="jacket")
        content = operations["get"]["responses"]["200"]["content"]
        assert response.status_code == 200
        assert f"GET {path}" in readable
        if "application/json" in content:
            jsonschema.validate(response.json(), content["application/json"]["schema"])
    assert get(page, "/api/search", q="jacket").json()["hits"]


def test_errors_are_one_clear_line(page: str) -> None:
    """JSON for programs, with the line and no traceback."""
    for parameters, part in (
        ({}, "ask something"),
        ({"q": "x", "mode": "magic"}, "mode is one of text, vector, hybrid"),
        ({"q": "x", "entity": "nothing"}, "there is no entity 'nothing'"),
        ({"q": "x", "k": "0"}, "k is a number from 1 to 100"),
        ({"q": "x", "skip": "9" * 99}, "skip is a number from 0 to 10000"),
        ({"q": "x", "filter": "[1]"}, "JSON object"),
        ({"q": "x", "filter": "{"}, "no JSON"),
        ({"q": "x" * 2001}, "2,001 characters"),
    ):
        response = get(page, "/api/search", **parameters)
        assert response.status_code == 400, part
        assert part in response.json()["error"]
        assert "\n" not in response.json()["error"]
    assert get(page, "/nowhere").status_code == 404
    assert httpx.post(f"{page}/api/status").status_code == 405


def test_filters(page: str) -> None:
    """The fields of the form, and the JSON of the endpoint, mean the same."""
    form = get(page, q="waterproof", entity="doc", column="size", **{"is": "gte", "value": "100"})
    found = get(page, "/api/search", q="waterproof", filter='{"size": {"gte": 100}}').json()["hits"]

    assert [hit["key"] for hit in found] == [{"id": 3}]
    assert "Tent" in columns(form)["text"]
    assert "jacket" not in columns(form)["text"].replace("Rain jacket", "jacket")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


def test_next_hits(page: str) -> None:
    """Each page goes on where the one before ended; the last one has no link."""
    first = get(page, q="waterproof jacket", entity="doc", k=2)
    link = re.search(r'<a href="(\?[^"]+)">Next hits', first.text)
    assert link
    second = httpx.get(f"{page}/{link[1].replace('&amp;', '&')}")

    shown = [re.findall(r"<h3>(\d+)</h3>", columns(response)["vector"]) for response in (first, second)]
    assert sorted(shown[0] + shown[1]) == ["1", "2", "3"]
    assert "Next hits" not in second.text


def test_text_answers_before_the_model_is_there(filled: Database) -> None:
    """The model is loaded once, in the background, and nothing waits for it."""
    there = threading.Event()
    loaded: list[str] = []

    def load(wanted: EmbeddingSettings) -> Fake:
        there.wait(30)
        loaded.append(wanted.model)
        return Fake()

    with serving(filled, load) as url:
        first = get(url, q="jacket", entity="doc")
        early = get(url, "/api/search", q="jacket", mode="vector")
        there.set()
        while (later := get(url, "/api/search", q="jacket", mode="vector")).status_code == 503:
            pass

    assert "<mark>" in columns(first)["text"]
    assert "being loaded" in columns(first)["vector"]
    assert "being loaded" in early.json()["error"]
    assert later.json()["hits"]
    assert loaded == ["fake"]


def test_text_answers_without_a_model(filled: Database) -> None:
    """A model that cannot be loaded is said in its columns."""

    def load(_: EmbeddingSettings) -> Fake:
        raise ModelError("the model 'fake' cannot be loaded from the hub")

    with serving(filled, load) as url:
        get(url)
        while "being loaded" in (response := get(url, q="jacket", entity="doc")).text:
            pass

    answered = columns(response)
    assert response.status_code == 200
    assert "<mark>" in answered["text"]
    assert "cannot be loaded from the hub" in answered["vector"]
    assert "cannot be loaded from the hub" in answered["hybrid"]


def test_without_pgvector(plain_database: Database) -> None:
    """Keyword search works, and the other columns say what is missing."""
    with plain_database.connect() as conn:
        conn.execute("create table doc (id int primary key, title text); insert into doc values (1, 'a jacket')")
        conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")

    with serving(plain_database) as url:
        answered = columns(get(url, q="jacket"))

    assert "<mark>jacket</mark>" in answered["text"]
    assert "no embedding" in answered["vector"]


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


def test_without_the_schema(server18: Server) -> None:
    """It says which command is missing."""
    server18.create("web_bare")
    with serving(Database(DatabaseSettings(url=server18.at("web_bare")))) as url:
        response = get(url)

    assert response.status_code == 503
    assert "run `pgpipe migrate`" in response.text


def test_metrics_are_prometheus_text(page: str) -> None:
    """The gauges of the database."""
    response = get(page, "/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert 'pgpipe_jobs{embedding="default",entity="doc",state="waiting"} 0.0' in response.text


def test_serve_command(database: Database) -> None:
    """It prints where it is, answers there, and ends on SIGTERM."""
    fill(database)
    command = [sys.executable, "-m", "pgpipe", "--database", database.url, "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = re.match(r"http://127\.0\.0\.1:\d+", line)
        assert address, process.stderr and process.stderr.read()
        response = get(address[0], q="jacket", entity="doc")
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)

    assert response.status_code == 200
    assert "<mark>jacket</mark>" in columns(response)["text"]
    assert code in {0, -signal.SIGTERM}


def test_serve_refuses_what_it_should_not_do(cli: Cli, page: str) -> None:
    """Other addresses than loopback, and a port that is taken: one line."""
    fails(cli("serve", "--host", "0.0.0.0"), 2, "serve.host", "127.0.0.1")
    fails(cli("serve", "--port", page.rpartition(":")[2]), 3, "cannot be listened on")
