"""Filtered search by meaning beside an index: the exact answer, however many rows pass; and pages of fused lists."""

import json
from typing import Any

import pytest

from pgpipe.db import Connection, Database
from pgpipe.embed import index
from pgpipe.searching import ask
from pgpipe.settings.model import IndexSettings
from tests.conftest import also_on_16
from tests.sql.support import column, embed, sqlstate, value
from tests.sql.test_vector_index import filled, vector_of

NEAR = "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, %s, %s)"
EXACT = """
    select d.id from doc d join doc_embedding s using (id) where {} order by s.vector <=> %s::vector, d.id limit %s
"""
SCAN = """
    select pgpipe_internal.scan_is_exact(pgpipe_internal.require_embedding('doc', null),
                                         pgpipe_internal.filter_condition('doc', 'row', %s), 15)
"""


@pytest.fixture(scope="module")
def spread() -> dict[str, str]:
    """Filters by how much they leave of 8,000 rows, as JSON and as the SQL that they mean."""
    return {
        '{"id": 4711}': "d.id = 4711",
        '{"size": {"lt": 9}}': "d.size < 9",
        '{"size": {"lt": 80}}': "d.size < 80",
        '{"size": {"gte": 400, "lt": 4400}}': "d.size >= 400 and d.size < 4400",
        '{"title": {"ne": "title 7"}, "size": {"gt": 100}}': "d.title <> 'title 7' and d.size > 100",
        '{"id": [1, 2, 3, 5000, 99999]}': "d.id in (1, 2, 3, 5000)",
        '{"size": {"lt": 0}}': "d.size < 0",
    }


def test_recall_under_any_filter(any_database: Database, conn: Connection, spread: dict[str, str]) -> None:
    """Of the ten nearest that pass at least 95 in a hundred are found, and never fewer than ten where there are ten."""
    index.build(any_database, filled(conn, 8000), IndexSettings())
    conn.execute("analyze doc")
    hit = wanted = 0
    for where, condition in spread.items():
        for question in (77, 1234, 7999, 4000):
            near = vector_of(conn, question)
            best = column(conn, EXACT.format(condition), near, 10)
            answer = column(conn, NEAR, near, 10, where)
            assert len(answer) == len(set(answer)) == len(best), where
            hit += len(set(best) & set(answer))
            wanted += len(best)
    assert hit >= 0.95 * wanted


def test_who_scans_what(any_database: Database, conn: Connection) -> None:
    """Few rows left: all of them are compared. Many: the index is walked. No index: nothing else is possible."""
    embedding = filled(conn, 8000)
    conn.execute("analyze doc")
    half = json.dumps({"size": {"gte": 4000}})
    assert value(conn, SCAN, half) is True

    index.build(any_database, embedding, IndexSettings())

    assert value(conn, SCAN, json.dumps({"id": 5})) is True
    assert value(conn, SCAN, half) is False
    assert (
        value(conn, "select pgpipe_internal.scan_is_exact(pgpipe_internal.require_embedding('doc', null), null, 30)")
        is False
    )


def test_a_wrong_estimate_costs_time_only(any_database: Database, conn: Connection) -> None:
    """Statistics that promise thousands of rows where there are three: the walk is given up, the three are found."""
    index.build(any_database, filled(conn, 8000), IndexSettings())
    conn.execute("alter table doc add column kind text not null default 'common'")
    conn.execute("analyze doc")
    conn.execute("alter table doc set (autovacuum_enabled = off)")
    conn.execute("update doc set kind = 'rare' where id not in (10, 20, 30)")
    where = json.dumps({"kind": "common"})
    assert value(conn, SCAN, where) is False

    assert sorted(column(conn, NEAR, vector_of(conn, 7777), 10, where)) == [10, 20, 30]


@pytest.fixture
def fused(conn: Connection) -> Connection:
    """Thirty docs; twelve hold the word, and the nearest in meaning are others."""
    filled(conn, 30)
    conn.execute("update doc set body = 'okapi ' || id where id % 5 < 2")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    return conn


def hybrid(conn: Connection, **options: Any) -> list[tuple[int, float, int | None, int | None]]:
    """Id, score and both ranks."""
    named = "".join(f", {name} => %({name})s" for name in options if name not in {"query", "vector"})
    statement = f"""
        select (key ->> 'id')::int, score, text_rank, vector_rank
          from pgpipe.hybrid_search('doc', %(query)s, %(vector)s{named})
    """
    values = {"query": "okapi", "vector": vector_of(conn, 3)} | options
    return conn.execute(statement.encode(), values).fetchall()


def test_pages_of_a_fused_list(fused: Connection) -> None:
    """One after the other they are the whole list: no row twice, none left out, in the order of the scores."""
    whole = hybrid(fused, k=100)
    pages = [row for skip in range(0, 40, 7) for row in hybrid(fused, k=7, skip=skip)]

    assert pages == whole
    assert len({row[0] for row in whole}) == 30
    assert [row[1] for row in whole] == sorted((row[1] for row in whole), reverse=True)


@also_on_16
def test_beginnings_in_both_lists(fused: Connection) -> None:
    """`prefix` reaches the words of a hybrid search."""
    assert all(row[2] is None for row in hybrid(fused, query="oka"))
    assert sum(row[2] is not None for row in hybrid(fused, query="oka", prefix=True, k=100)) == 12


def test_an_embedding_by_name(fused: Connection) -> None:
    """One that is not active yet can be asked by its name: to compare it before the switch, or during one."""
    embed(fused, columns=["title"], name="second", dims=2)
    fused.execute("""
        insert into doc_embedding_second
        select id, 0, 0, 5, pgpipe_internal.content_hash(title), 'fake',
               case id when 9 then '[1,0]' else '[0,1]' end::vector
          from doc""")
    asked = "select (key ->> 'id')::int from pgpipe.vector_search('doc', '[1,0.1]', 1, embedding => %s)"

    assert column(fused, asked, "second") == [9]
    assert sqlstate(fused, asked, None) == "PP009"
    assert sqlstate(fused, asked, "third") == "PP008"
    assert hybrid(fused, query="the", vector="[1,0.1]", k=1, embedding="second")[0][0] == 9


def test_one_embedding_from_beginning_to_end(fused: Connection) -> None:
    """What a search saw first it asks last: another embedding that becomes active in between changes nothing."""
    embed(fused, columns=["title"], name="second", dims=2)
    target = ask.find_searchable(fused, "doc", "public")
    near = json.loads(vector_of(fused, 3))
    fused.execute("update pgpipe.embedding set active = false")
    fused.execute("update pgpipe.embedding set active = true where name = 'second'")

    hits = ask.answer(fused, target, "vector", ask.Question("okapi", k=1), near)

    assert [hit.key["id"] for hit in hits] == [3]
    assert ask.find_searchable(fused, "doc", "public").dims == 2
