"""The vector index holds half, a bit or all of each vector, and every search by meaning compares in full."""

import json

import pytest

from pgpipe.db import Connection, Database
from pgpipe.embed import declare, index
from pgpipe.settings.entity import EmbedDeclaration
from pgpipe.target import require
from tests.conftest import also_on_16
from tests.sql.support import column, sqlstate, value
from tests.sql.vectors import FEW, FEW_DO, INDEXES, filled, vector_of

PRECISION = "select pgpipe.set_index_precision('doc', %s)"
DEFINED = """
    select pg_get_indexdef(i.index) from pgpipe.embedding e cross join pgpipe_internal.vector_indexes(e.store) i
"""
STATEMENT = """
    select pgpipe_internal.nearest_statement(e, %s, %s, false, null) from pgpipe.embedding e
"""
SCANS = "select sum(idx_scan)::int from pg_stat_user_indexes where indexrelname ~ '^doc_embedding_hnsw'"
EXACT = "select id from doc_embedding order by (vector <=> %s::vector) + 0, id limit %s"
# Each way to search by meaning, as %(v)s and with a filter that most rows pass.
SEARCHES = {
    "vector": "select (key ->> 'id')::int, score from pgpipe.vector_search('doc', %(v)s, 10)",
    "filtered": "select key from pgpipe.vector_search('doc', %(v)s, 10, '{\"size\": {\"gte\": 1}}')",
    "hybrid": "select (key ->> 'id')::int, score from pgpipe.hybrid_search('doc', 'title', %(v)s, 10)",
    "similar": "select hit_key from pgpipe.similar('doc', '{\"id\": 7}', 10)",
    "all": "select key from pgpipe.search_all('title', '{doc}', vectors => ('[' || %(v)s || ']')::jsonb)",
}


def planned(conn: Connection, near: str, filtered: str | None = None) -> str:
    """The plan of the walk, as a search runs it."""
    statement = value(conn, STATEMENT, filtered, filtered is not None)
    bound = statement.replace("$1", f"'{near}'").replace("$2", "20").replace("$3", "60")
    return "\n".join(column(conn, f"explain (verbose) {bound}"))


@also_on_16
def test_each_precision_is_walked_and_compared_in_full(any_database: Database, conn: Connection) -> None:
    """The index of each precision is read by every path; scores are cosines of the stored vectors, in full."""
    embedding = filled(conn, 800, dims=64)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("set enable_seqscan = off")
    conn.execute("set enable_sort = off")
    near = vector_of(conn, 77)
    best = column(conn, EXACT, near, 10)
    full = "select 1 - (vector <=> %s::vector) from doc_embedding where id = %s"
    for precision, part in (("half", "halfvec(64)"), ("bit", "binary_quantize(vector))::bit(64)"), ("full", "(vector")):
        conn.execute(PRECISION, (precision,))
        assert index.build(any_database, embedding, FEW_DO)

        assert part in column(conn, DEFINED)[0]
        for where in (None, json.dumps({"size": {"gte": 1}})):
            plan = planned(conn, near, where)
            assert "Index Scan using doc_embedding_hnsw" in plan, plan
            assert ("Sort Key: ((" in plan) is (precision != "full")  # what the index gives is sorted by the whole
        rows = conn.execute(SEARCHES["vector"], {"v": near}).fetchall()
        assert {id_ for id_, _ in rows} == set(best) if precision != "bit" else len(rows) == 10
        for id_, score in rows:
            assert score == pytest.approx(value(conn, full, near, id_), abs=1e-12)


def test_every_search_reads_the_index(any_database: Database, conn: Connection) -> None:
    """Hybrid, similar, over several tables, with a filter: none falls back on reading every vector."""
    embedding = filled(conn, 5000)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("analyze doc")
    assert index.build(any_database, embedding, FEW_DO)
    conn.execute("set enable_seqscan = off")
    near = vector_of(conn, 77)
    for name, statement in SEARCHES.items():
        before = value(conn, SCANS)
        assert conn.execute(statement, {"v": near}).fetchall(), name
        conn.execute("select pg_stat_force_next_flush()")
        conn.execute("select pg_stat_clear_snapshot()")
        assert value(conn, SCANS) > before, name


def test_another_precision_replaces_the_index_online(any_database: Database, conn: Connection) -> None:
    """The old index serves until the new one is there, and is dropped then; a precision that is unknown is refused."""
    embedding = filled(conn, FEW)
    serves = "select pgpipe_internal.served_precision(e) from pgpipe.embedding e"
    assert index.build(any_database, embedding, FEW_DO)
    assert value(conn, serves) == "half"

    conn.execute(PRECISION, ("bit",))
    assert value(conn, serves) == "half"
    assert value(conn, "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, 1)", vector_of(conn, 77)) == 77
    assert index.build(any_database, embedding, FEW_DO)

    assert conn.execute(INDEXES).fetchall() == [("doc_embedding_hnsw_2", True)]
    assert value(conn, serves) == "bit"
    assert not index.build(any_database, embedding, FEW_DO)
    assert sqlstate(conn, PRECISION, "tenth") == "PP003"


def test_a_store_of_half_precision(any_database: Database, conn: Connection) -> None:
    """It holds halfvec, its index all of that; the settings' declaration is known again, another store is refused."""
    embedding = filled(conn, FEW, store_precision="half")
    assert value(conn, "select pg_typeof(vector)::text from doc_embedding limit 1") == "halfvec"
    assert index.build(any_database, embedding, FEW_DO)
    assert "(vector halfvec_cosine_ops)" in column(conn, DEFINED)[0]
    near = vector_of(conn, 77)
    assert (
        value(conn, "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s::halfvec::vector, 1)", near) == 77
    )
    conn.execute("select pgpipe.enable_filters('doc', '{size}')")
    filtered = "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s::halfvec::vector, 1, %s)"
    assert column(conn, filtered, near, '{"size": {"gte": 0}}') == [77]

    target = require(conn, "public", "doc")
    known = declare.find(conn, target)
    assert known
    assert known.store_precision == "half"
    wanted = {"columns": ["title", "body"], "index": {"precision": "bit"}}
    asked = EmbedDeclaration.model_validate(wanted)
    assert known.serves(asked, "fake")
    assert not known.serves(asked.model_copy(update={"store_precision": "full"}), "fake")
    declare.keep(conn, target, asked, "default")
    assert value(conn, "select index_precision from pgpipe.embedding") == "bit"
    again = "select pgpipe.enable_embedding('doc', '{title,body}', 'fake', 8, store_precision => %s)"
    assert sqlstate(conn, again, "full") == "PP004"
    assert not sqlstate(conn, again, "half")
