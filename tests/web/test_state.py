"""The state that the page shows: entities, loads and queues, whatever the database is doing."""

from pgpipe.db import Database
from pgpipe.settings.model import DatabaseSettings
from pgpipe.web.queries import SLOW, Overviews
from tests.sql.support import eventually
from tests.web.conftest import serving
from tests.web.support import get

HIT = {"key", "score", "text_rank", "vector_rank", "title", "passage", "row", "corrected", "details"}
EMBEDDING = {"name", "model", "dims", "waiting", "leased", "dead", "coverage", "rate", "eta_seconds", "paused"}


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


def test_an_entity_that_is_late_says_so(page: str, filled: Database) -> None:
    """Its dates came day by day, and the last one came three days ago."""
    assert "Its dates come every" not in get(page).text
    with filled.connect() as conn:
        conn.execute(
            "insert into pgpipe.load (entity, date, mode, started_at, finished_at)"
            " select 'doc', date '2026-01-02' + n, 'upsert', now() - interval '3 days', now() - interval '3 days'"
            "   from generate_series(1, 3) n"
        )

    eventually(lambda: "Its dates come every 1 d; the last one came 3 d ago." in get(page, "/live").text)


def test_the_question_is_kept_when_the_database_is_away() -> None:
    """The page of the error has it in a form, with the entity and all else that was asked."""
    away = Database(DatabaseSettings(url="postgresql://nobody@127.0.0.1:1/none"))
    with serving(away) as url:
        response = get(url, q='rain "jacket', entity="doc", k="7")

    assert response.status_code == 503
    assert 'name="q" value="rain &#34;jacket"' in response.text
    assert '<input type="hidden" name="k" value="7">' in response.text


def test_the_database_is_asked_once_in_a_while(filled: Database) -> None:
    """Who looks within the seconds that an overview is kept sees the same one; later a new one."""
    kept, anew = Overviews(filled, 3600), Overviews(filled, 0)

    assert kept.get() is kept.get()
    assert anew.get() is not anew.get()


def test_a_locked_table_holds_up_nobody(page: str, filled: Database) -> None:
    """What the lock hides is left out with a note, and an error for programs; later all is there again."""
    with filled.connect() as other:
        other.execute("lock table doc, doc_embedding in access exclusive mode")
        shown = get(page)
        told = get(page, "/api/status")
        other.rollback()
    while SLOW in (later := get(page)).text:
        pass

    assert (shown.status_code, told.status_code, later.status_code) == (200, 503, 200)
    assert SLOW in shown.text
    assert told.json() == {"error": SLOW}
    assert get(page, "/api/status").json()["entities"][0]["embeddings"][0]["coverage"] == 1
