"""What the page answers over HTTP."""

import json
import re
import signal
import subprocess
import sys
import threading
import time

import httpx
import pytest

from pgpipe.api import search
from pgpipe.db import Database
from pgpipe.embed.model.base import Vectors
from pgpipe.errors import ModelError, PgpipeError
from pgpipe.settings.model import DatabaseSettings, EmbeddingSettings, Settings
from tests.conftest import Server
from tests.sql.fake_model import Fake
from tests.web.conftest import fill, serving, settled
from tests.web.support import columns, get

HIT = {"key", "score", "text_rank", "vector_rank", "title", "passage", "row", "corrected", "details", "entity"}
HIT |= {"rerank_score", "reranked"}
EMBEDDING = {"name", "model", "dims", "waiting", "leased", "dead", "coverage", "rate", "eta_seconds", "paused"}


def test_a_question_is_answered_in_three_columns(page: str) -> None:
    """Text marks the words of the question; each mode has its own ranks."""
    response = get(page, q="waterproof jacket", entity="doc")

    answered = columns(response)
    assert (response.status_code, list(answered)) == (200, ["text", "vector", "hybrid"])
    assert "<mark>waterproof</mark>" in answered["text"]
    assert "vector 1" in answered["vector"]
    assert "text 1" in answered["hybrid"]


def test_the_time_of_the_model_stands_apart(filled: Database) -> None:
    """What the model took for a question is not counted as the search's, and a question that is kept costs nothing."""

    class Slow(Fake):
        def encode(self, texts: list[str]) -> Vectors:
            if "waterproof" in texts[0]:
                time.sleep(0.3)
            return super().encode(texts)

    with serving(filled, lambda _: Slow()) as url:
        settled(url)
        first, second = (columns(get(url, q="waterproof", entity="doc")) for _ in range(2))

    took = [re.search(r"(\d+) ms\s*, the model (\d+) ms", first[mode]) for mode in ("vector", "hybrid")]
    assert took[0]
    assert int(took[0][2]) >= 300
    assert took[1] is None
    assert ", the model" not in second["vector"]


def test_an_empty_database_says_what_to_do(database: Database) -> None:
    """The first look, before anything was loaded."""
    with serving(database) as url:
        response = get(url)

    assert response.status_code == 200
    assert "Nothing is searchable yet" in response.text


def test_what_programs_read(page: str) -> None:
    """A hit, an entity with its embeddings and loads, and both series of the plots: the fields that a program finds."""
    hits = get(page, "/api/search", q="jacket").json()["hits"]
    (entity,) = get(page, "/api/status").json()["entities"]
    series = get(page, "/api/throughput").json()

    assert [set(hit) for hit in hits] == [HIT] * len(hits)
    assert hits
    assert set(entity) >= {"entity", "rows", "search", "embeddings", "last_load"}
    assert set(entity["embeddings"][0]) >= EMBEDDING
    assert set(series) == {"loads", "embeddings"}
    assert {name: type(value) for name, value in series["embeddings"][0].items()} == {
        "entity": str,
        "name": str,
        "throughput": list,
    }
    assert get(page, "/healthz").json() == {"status": "ok"}
    assert "pgpipe_" in get(page, "/metrics").text


def test_errors_are_one_clear_line(page: str) -> None:
    """JSON for programs, with the line and no traceback."""
    for parameters, part in (
        ({}, "ask something"),
        ({"q": "x", "mode": "magic"}, "mode is one of text, vector, hybrid"),
        ({"q": "x", "entity": "nothing"}, "unknown entity 'nothing'"),
        ({"q": "x", "k": "0"}, "k is a number from 1 to 100"),
        ({"q": "x", "skip": "9" * 99}, "skip is a number from 0 to 10000"),
        ({"q": "x", "filter": "[1]"}, "JSON object"),
        ({"q": "x", "filter": "{"}, "not valid JSON"),
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


def test_facets(page: str) -> None:
    """Total and counts of a question as JSON, in each mode; a bad column is one line."""
    found = get(page, "/api/facets", q="waterproof", facet=["title", "size=100"], k=1).json()

    assert found["total"] == {"rows": 2, "exact": True}
    assert [(each["facet"], each["value"], each["rows"]) for each in found["values"]] == [
        ("title", "Rain jacket", 1), ("size", "(,100)", 1), ("size", "[100,)", 1),
    ]  # fmt: skip
    assert found["values"][2]["as_filter"] == {"size": {"gte": 100}}
    near = get(page, "/api/facets", q="waterproof", facet="size=15", mode="hybrid").json()
    assert (near["total"], sum(each["rows"] for each in near["values"])) == (None, 3)
    for bad in ("nothing", "size=many", "title.x"):
        assert get(page, "/api/facets", q="x", facet=bad).status_code == 400, bad


def test_suggestions(page: str, filled: Database) -> None:
    """Words and titles of what is typed, as JSON."""
    with filled.connect() as conn:
        conn.execute("select pgpipe.refresh_search('doc')")
    found = get(page, "/api/suggest", q="rain j", entity="doc", k=3).json()["suggestions"]

    assert found == [
        {"suggestion": "rain jacket", "kind": "word", "rows": 2},
        {"suggestion": "Rain jacket", "kind": "title", "rows": None},
    ]
    assert get(page, "/api/suggest", q="rain ").json()["suggestions"][0]["kind"] == "title"
    assert get(page, "/api/suggest", q="x", entity="nothing").status_code == 400


def test_next_hits(page: str) -> None:
    """Each page goes on where the one before ended; the last one has no link."""
    first = get(page, q="waterproof jacket", entity="doc", k=2)
    link = re.search(r'<a href="(\?[^"]+)">Next hits', first.text)
    assert link
    second = httpx.get(f"{page}/{link[1].replace('&amp;', '&')}")

    shown = [re.findall(r"<h3>[^<]*?(\d+)</h3>", columns(response)["vector"]) for response in (first, second)]
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


@pytest.mark.parametrize("where", ['{"nothing": 1}', '{"size": "many"}', '{"or": {"size": 1}}'])
def test_a_bad_filter_is_refused_before_a_model_is_loaded(filled: Database, where: str) -> None:
    """Issue 15: by the page and from Python, with the line that says what is wrong."""

    def load(_: EmbeddingSettings) -> Fake:
        raise AssertionError("a model was loaded")

    with serving(filled, load) as url:
        response = get(url, "/api/search", q="jacket", mode="vector", filter=where)
    assert response.status_code == 400
    assert response.json()["error"].startswith("filter: ")
    settings = Settings(embedding=EmbeddingSettings(model="fake"))
    with pytest.raises(PgpipeError, match=r"no column|invalid input|list of filters"):
        search("jacket", "doc", "hybrid", filter=json.loads(where), settings=settings, database=filled)


def test_without_pgvector(plain_database: Database) -> None:
    """Keyword search works, and the other columns say what is missing."""
    with plain_database.connect() as conn:
        conn.execute("create table doc (id int primary key, title text); insert into doc values (1, 'a jacket')")
        conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")

    with serving(plain_database) as url:
        answered = columns(get(url, q="jacket"))

    assert "<mark>jacket</mark>" in answered["text"]
    assert "no embedding" in answered["vector"]


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
    assert 'pgpipe_jobs{embedding="default",entity="doc",schema="public",state="waiting"} 0.0' in response.text


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
