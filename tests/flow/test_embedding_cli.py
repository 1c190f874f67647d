"""pgpipe embedding, reconcile, jobs and status, through the command line with a backend that a package brings."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgpipe.db import Connection, Database
from tests.chaos.embedders import install, populate
from tests.conftest import Cli, Result
from tests.sql.support import value


@pytest.fixture
def ready(database: Database, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Thirty rows with an embedding that is filled, by a backend with an entry point."""
    folder = tmp_path / "packages"
    folder.mkdir()
    install(folder)
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PGPIPE_EMBEDDING__BACKEND", "chaos")
    monkeypatch.setenv("PGPIPE_EMBEDDING__MODELS", '["*"]')
    populate(database, 30)
    assert cli("embedder", "--drain").code == 0
    return cli


def read(result: Result) -> list[dict]:
    assert result.code == 0, result.err
    return json.loads(result.out)


def test_a_second_model_and_a_switch(ready: Cli) -> None:
    """add, fill, drift, switch, drop: each says what it did, and refuses what would leave search without vectors."""
    added = ready("embedding", "add", "doc", "--name", "next", "--model", "other", "--where", "id > 10")
    assert (added.code, "30 rows" in added.out or "20 rows" in added.out) == (0, True)
    early = ready("embedding", "switch", "doc", "next")
    assert (early.code, "20 jobs wait" in early.err) == (1, True)
    assert ready("embedder", "--drain").code == 0

    assert ready("embedding", "switch", "doc", "next").code == 0

    rows = read(ready("embedding", "list", "--json"))
    assert [(r["name"], r["model"], r["active"], r["jobs"]) for r in rows] == [
        ("next", "other", True, 0),
        ("default", "chaos", False, 0),
    ]
    refused = ready("embedding", "drop", "doc", "next", "--yes")
    assert (refused.code, "switch to another first" in refused.err) == (2, True)
    assert ready("embedding", "drop", "doc", "default", "--yes").code == 0
    assert ready("embedding", "drop", "doc", "default", "--yes").code == 1


def test_pause_and_resume(ready: Cli, database: Database) -> None:
    """A paused embedding keeps its jobs."""
    assert ready("embedding", "pause", "doc").code == 0
    with database.connect(autocommit=True) as conn:
        conn.execute("update doc set title = 'x' where id = 1")
    assert "0 rows embedded" in ready("embedder", "--drain").out
    assert read(ready("embedding", "list", "--json"))[0]["paused"]
    assert ready("embedding", "resume", "doc").code == 0
    assert "1 rows embedded" in ready("embedder", "--drain").out


def test_reconcile_and_drift(ready: Cli, database: Database) -> None:
    """What no trigger saw is a drift, and after a reconcile and a drain no more."""
    with database.connect() as conn:
        conn.execute("set session_replication_role = replica")
        conn.execute("update doc set title = 'x' where id <= 3")
    assert read(ready("embedding", "drift", "doc", "--json"))[0]["other_text"] == pytest.approx(0.1)

    found = read(ready("reconcile", "--json"))

    assert found == [{"entity": "doc", "name": "default", "examined": 30, "enqueued": 3}]
    assert ready("embedder", "--drain").code == 0
    assert read(ready("embedding", "drift", "doc", "--json"))[0]["other_text"] == 0
    unknown = ready("reconcile", "--entity", "nothing")
    assert (unknown.code, "no embedding of nothing" in unknown.err) == (2, True)


def kill(conn: Connection) -> None:
    conn.execute("update doc set title = 'x' where id <= 3")
    conn.execute("update pgpipe.job set dead_at = now(), visible_at = 'infinity', last_error = 'ValueError: bad'")


def test_dead_jobs_one_by_one(ready: Cli, database: Database) -> None:
    """Listed with their error; retried and dropped by entity and key."""
    with database.connect(autocommit=True) as conn:
        kill(conn)
    assert {row["last_error"] for row in read(ready("jobs", "list", "--json"))} == {"ValueError: bad"}

    assert "1 jobs wait again" in ready("jobs", "retry", "--entity", "doc", "--key", '{"id": 2}').out
    assert "the table public.other does not exist" in ready("jobs", "retry", "--entity", "other").err
    assert "1 jobs dropped" in ready("jobs", "drop", "--key", '{"id": 3}', "--yes").out

    assert [row["key"] for row in read(ready("jobs", "list", "--json")) if row["dead_at"]] == [{"id": 1}]


def test_status_shows_the_health_of_the_queue(ready: Cli) -> None:
    """Coverage of the embedding, dead tuples and the oldest snapshot."""
    status = json.loads(ready("status", "--json").out)

    assert float(status["embeddings"][0]["coverage"]) == 1
    assert {"dead_tuples", "oldest_snapshot", "oldest_snapshot_age"} <= set(status["queue"])


def test_what_is_said_of_a_changed_definition(ready: Cli, database: Database) -> None:
    """V24, V4: status and doctor say why coverage is unknown and what to do; a reconcile and a drain clear it."""
    before = read(ready("status", "--json"))["embeddings"][0]  # type: ignore[call-overload]
    assert (float(before["coverage"]), before["reason"]) == (1, None)
    with database.connect(autocommit=True) as conn:
        conn.execute("alter table doc alter column title type text using upper(title)")

    now = read(ready("status", "--json"))["embeddings"][0]  # type: ignore[call-overload]
    assert (now["coverage"], now["swept_at"]) == (None, before["swept_at"])
    assert "doc (default): its table was rewritten" in " ".join(ready("status").out.split())
    findings = read(ready("doctor", "--skip-model", "--json"))
    mine = next(f for f in findings if f["check"] == "coverage")
    assert (mine["state"], "its table was rewritten" in mine["message"]) == ("warning", True)
    assert "pgpipe reconcile" in mine["todo"]

    assert ready("reconcile").code == 0
    assert ready("embedder", "--drain").code == 0
    after = read(ready("status", "--json"))["embeddings"][0]  # type: ignore[call-overload]
    assert (float(after["coverage"]), after["reason"]) == (1, None)
    assert after["swept_at"] > before["swept_at"]
    assert not [f for f in read(ready("doctor", "--skip-model", "--json")) if f["check"] == "coverage"]


@pytest.fixture
def foreign(ready: Cli, database: Database) -> Iterator[Connection]:
    """Thirty rows that wait for a second embedding, while another tool's table has its vectors under other names."""
    assert ready("embedding", "add", "doc", "--name", "next", "--model", "other").code == 0
    with database.connect(autocommit=True) as conn:
        conn.execute("create table langchain as select id as doc, vector as embedding from doc_embedding")
        yield conn


ADOPT = ("embedding", "adopt", "doc", "--name", "next", "--from", "langchain", "--vector", "embedding", "--key", "doc")


@pytest.mark.parametrize("kind", ["vector", "halfvec", "real[]", "real[]::double precision[]"])
def test_vectors_are_adopted(ready: Cli, foreign: Connection, kind: str) -> None:
    """V32: vectors that exist are taken over with model and hash, none is computed again, and a change of text is."""
    type_ = kind.rpartition("::")[2]
    foreign.execute(f"alter table langchain alter embedding type {type_} using embedding::{kind}".encode())

    adopted = ready(*ADOPT)

    assert (adopted.code, adopted.err.count("cosine")) == (0, 1), adopted.err
    assert "30 vectors adopted, 0 rows wait" in adopted.out
    assert "0 rows embedded" in ready("embedder", "--drain").out
    differ = """
        select count(*) from doc_embedding_next mine join doc_embedding own using (id, chunk)
         where mine.content_hash <> own.content_hash or mine.model <> 'other' or mine.char_end <> own.char_end
            or mine.vector <-> own.vector > 0.01
    """
    assert value(foreign, differ) == 0
    assert value(foreign, "select coverage::float8 from pgpipe.embedding_status where name = 'next'") == 1
    foreign.execute("update doc set title = 'changed' where id = 1")
    assert "2 rows embedded" in ready("embedder", "--drain").out  # one for each embedding


def test_what_cannot_be_adopted_waits(ready: Cli, foreign: Connection) -> None:
    """V32: rows without a vector, with a zero vector, other dimensions or NULL elements are embedded as ever."""
    foreign.execute("alter table langchain alter embedding type real[] using embedding::real[]")
    foreign.execute("delete from langchain where doc = 1")
    for row, vector in ((2, "null"), (3, "'{}'"), (4, "'{1}'"), (5, "array_fill(0, array[8])"), (6, "'{NaN}'")):
        foreign.execute(f"update langchain set embedding = {vector} where doc = {row}".encode())
    foreign.execute("update langchain set embedding[1] = null where doc = 7")
    foreign.execute("update langchain set embedding[2] = 'Infinity' where doc = 8")

    assert "22 vectors adopted, 8 rows wait" in ready(*ADOPT).out
    assert "8 rows embedded" in ready("embedder", "--drain").out
    assert value(foreign, "select coverage::float8 from pgpipe.embedding_status where name = 'next'") == 1


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("update langchain set embedding = (select embedding from langchain where doc = 1)", "the cosine is"),
        ("delete from langchain", "usable vector"),
        ("alter table langchain rename embedding to other", "embedding"),
        ("alter table langchain alter embedding type text using ''", "holds no vectors"),
        ("drop table langchain", "the table langchain does not exist"),
    ],
)
def test_vectors_that_are_refused(ready: Cli, foreign: Connection, change: str, says: str) -> None:
    """V32: vectors of other texts, no vectors, or a table that holds none are refused in a line; nothing is adopted."""
    foreign.execute(change.encode())

    refused = ready(*ADOPT)

    assert refused.code in {1, 2}
    assert says in refused.err
    assert refused.err.count("\n") <= 2
    assert value(foreign, "select count(*) from doc_embedding_next") == 0
    assert value(foreign, "select count(*) from pgpipe.job") == 30
