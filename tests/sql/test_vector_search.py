"""Search by meaning, and by words and meaning together; vectors of three dimensions whose nearness is plain to see."""

import json

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import claim, column, drain, embed, embedded_docs, finish, make_docs, sqlstate, value

NEAR = "select (key ->> 'id')::int from pgpipe.vector_search('doc', %s, %s, %s)"
X, Y, Z = "[1,0,0]", "[0,1,0]", "[0,0,1]"


def put(conn: Connection, id_: int, *vectors: str, length: int = 3) -> None:
    """Store vectors as the chunks of a row's text, `length` characters each."""
    conn.execute("delete from doc_embedding where id = %s", (id_,))
    statement = """
        insert into doc_embedding
        select id, n - 1, (n - 1) * %(length)s, n * %(length)s,
               pgpipe_internal.content_hash(concat_ws(chr(10), title, body)),
               'fake', v
          from doc, unnest(%(vectors)s::vector[]) with ordinality u (v, n) where id = %(id)s
    """
    conn.execute(statement, {"id": id_, "vectors": list(vectors), "length": length})


@pytest.fixture
def docs(conn: Connection) -> Connection:
    """Five docs; the number of each says how far its vector is turned from X to Y."""
    embedded_docs(conn, 5)
    for n in range(1, 6):
        put(conn, n, f"[{10 - n},{n},0]", length=2)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")
    return conn


def test_order_and_similarity(docs: Connection) -> None:
    """Nearest first; the score is the cosine of the angle; the row comes without its search column."""
    asked = """select key, score, passage, row from pgpipe.vector_search('doc', %s, options => '{"row": true}')"""
    rows = docs.execute(asked, (X,)).fetchall()

    assert [r[0]["id"] for r in rows] == [1, 2, 3, 4, 5]
    for n, row in enumerate(rows, 1):
        assert row[1] == pytest.approx((10 - n) / ((10 - n) ** 2 + n**2) ** 0.5)
    assert rows[0][2] == "ti …"
    assert rows[0][3] == {"id": 1, "title": "title 1", "body": "body 1", "size": 1}
    assert column(docs, NEAR, Y, 2, None) == [5, 4]


def test_each_row_once_with_its_best_passage(docs: Connection) -> None:
    """A row of several chunks stands where its best chunk puts it, and shows that chunk's part of the text."""
    put(docs, 3, Z, Y, X, length=4)  # "titl", "e 3\n", "body"

    rows = docs.execute("select key, score, passage from pgpipe.vector_search('doc', %s)", (X,)).fetchall()

    assert [r[0]["id"] for r in rows] == [3, 1, 2, 4, 5]
    assert rows[0][1:] == (pytest.approx(1.0), "… body …")


def test_k_rows_however_many_chunks(docs: Connection) -> None:
    """A row whose hundreds of chunks are all nearer than the next row's only one takes one place, not all."""
    put(docs, 1, *[X] * 300)
    put(docs, 2, *["[9,1,0]"] * 300)

    assert column(docs, NEAR, X, 3, None) == [1, 2, 3]
    assert column(docs, NEAR, X, 100, None) == [1, 2, 3, 4, 5]
    assert column(docs, NEAR, X, 0, None) == []


@also_on_16
def test_the_filter_is_inside(docs: Connection) -> None:
    """The k nearest of those that pass, also where they are the farthest of all."""
    assert column(docs, NEAR, X, 1, json.dumps({"size": {"gte": 5}})) == [5]
    assert column(docs, NEAR, X, 10, json.dumps({"id": [2, 4]})) == [2, 4]
    assert column(docs, NEAR, X, 10, json.dumps({"id": 77})) == []


@also_on_16
def test_a_row_that_changed_since(docs: Connection) -> None:
    """Its vector is of the text it had: it is found by it, and shows the beginning of the text it has."""
    docs.execute("update doc set title = 'other' where id = 1")

    row = docs.execute("select key, passage, title from pgpipe.vector_search('doc', %s, 1)", (X,)).fetchone()

    assert row == ({"id": 1}, "other\nbody 1", "other")


def test_a_vector_without_direction(docs: Connection) -> None:
    """V23: a stored vector of zeros is no answer; a question without a direction is refused in words, in both ways."""
    put(docs, 1, "[0,0,0]")
    hybrid = "select key from pgpipe.hybrid_search('doc', 'title', %s)"

    assert column(docs, NEAR, X, 10, None) == [2, 3, 4, 5]
    assert column(docs, NEAR, "[1e-18,0,0]", 10, None) == [2, 3, 4, 5]
    for question in ("[0,0,0]", "[1e-30,0,-1e-30]", "[1e30,0,0]"):
        assert sqlstate(docs, NEAR, question, 10, None) == "PP009"
        assert sqlstate(docs, hybrid, question) == "PP009"


def test_the_session_does_not_matter(conn: Connection) -> None:
    """Passage and key of types whose text depends on settings are right in any session."""
    conn.execute("create table doc (id timestamptz primary key, at timestamptz)")
    conn.execute("insert into doc values ('2026-01-01 00:00+00', '2026-01-02 03:04:05+00')")
    drain(conn, embed(conn, columns=["at"]))
    conn.execute("set timezone = 'Asia/Kathmandu'")
    conn.execute("set datestyle = 'SQL, DMY'")

    row = conn.execute("select key, passage from pgpipe.vector_search('doc', %s)", (X,)).fetchone()

    assert row == ({"id": "2026-01-01T00:00:00+00:00"}, "2026-01-02 03:04:05+00")


HYBRID = "select key, score, text_rank, vector_rank from pgpipe.hybrid_search('doc', 'jacket', %s, 10, rrf_k => %s)"


@pytest.fixture
def jackets(docs: Connection) -> Connection:
    """The word is in docs 4 and 5, which are the farthest by meaning; in 5 it counts more."""
    docs.execute("update doc set body = 'jacket' where id in (4, 5)")
    docs.execute("update doc set title = 'jacket' where id = 5")
    return docs


@also_on_16
def test_fused_scores(jackets: Connection) -> None:
    """Each list's scores from 0 to 1, added: 0 for a row without the word, and for the farthest; both ranks."""
    rows = jackets.execute(HYBRID, (X, None)).fetchall()

    words = dict(jackets.execute("select key ->> 'id', score from pgpipe.text_search('doc', 'jacket')").fetchall())
    near = dict(jackets.execute("select key ->> 'id', score from pgpipe.vector_search('doc', %s)", (X,)).fetchall())
    expected = {
        int(n): words.get(n, 0) / max(words.values())
        + (s - min(near.values())) / (max(near.values()) - min(near.values()))
        for n, s in near.items()
    }
    assert {r[0]["id"]: r[1] for r in rows} == pytest.approx(expected)
    assert [r[0]["id"] for r in rows] == sorted(expected, key=lambda n: -expected[n])
    assert {r[0]["id"]: r[2:] for r in rows} == {1: (None, 1), 2: (None, 2), 3: (None, 3), 4: (2, 4), 5: (1, 5)}


def test_a_full_list_ends_at_nothing(jackets: Connection) -> None:
    """Of as many candidates as a list has room for the last has 0, the only one 1."""
    page = """
        select (key ->> 'id')::int, score
          from pgpipe.hybrid_search('doc', 'jacket', %s, %s, candidates => %s, skip => %s)
    """

    assert jackets.execute(page, (X, 2, 2, 0)).fetchall() == [(1, 1), (5, 1)]
    assert jackets.execute(page, (X, 2, 2, 2)).fetchall() == [(2, 0), (4, 0)]
    assert jackets.execute(page, (X, 1, 1, 0)).fetchall() == [(1, 1)]


@also_on_16
def test_fused_ranks(jackets: Connection) -> None:
    """With `rrf_k` each score is the sum of 1 / (rrf_k + rank) over the lists that hold the row."""
    rows = jackets.execute(HYBRID, (X, 60)).fetchall()

    for _, score, words, meaning in rows:
        assert score == pytest.approx((1 / (60 + words) if words else 0) + 1 / (60 + meaning))
    assert [r[0]["id"] for r in rows] == [5, 4, 1, 2, 3]


def test_rows_of_one_list(docs: Connection) -> None:
    """A row without a vector, and a row without the word, are both answers; the passage is of the list it came from."""
    docs.execute("insert into doc values (9, 'zither', 'strings', 0)")

    rows = docs.execute("""
        select key ->> 'id', text_rank, vector_rank, passage
          from pgpipe.hybrid_search('doc', 'zither', '[1,0,0]', 3)""").fetchall()

    assert rows == [
        ("1", None, 1, "ti …"),
        ("9", 1, None, "<b>zither</b>\nstrings"),
        ("2", None, 2, "ti …"),
    ]


@pytest.mark.parametrize("rrf_k", [None, 60])
def test_a_lone_exclusion_ranks_nothing(docs: Connection, rrf_k: int | None) -> None:
    """V20: what only lacks an excluded word is listed by key, so its place there adds nothing to a hybrid score."""
    rows = docs.execute(
        "select vector_rank, score, text_rank from pgpipe.hybrid_search('doc', '-zither', %s, rrf_k => %s)", (X, rrf_k)
    ).fetchall()
    plain = docs.execute(
        "select vector_rank, score from pgpipe.hybrid_search('doc', 'zither', %s, rrf_k => %s)", (X, rrf_k)
    )

    assert [row[:2] for row in rows] == plain.fetchall()
    assert all(text_rank is not None for _, _, text_rank in rows)


def test_weights_of_the_lists(docs: Connection) -> None:
    """A weight of nothing takes a list out of the score; a large one lets it decide. The target may set them."""
    docs.execute("update doc set title = 'jacket' where id = 5")
    first = """
        select (key ->> 'id')::int
          from pgpipe.hybrid_search('doc', 'jacket', %s, 1, text_weight => %s, vector_weight => %s)
    """

    assert value(docs, first, X, 0, 1) == 1
    assert value(docs, first, X, 1, 0) == 5
    score = """
        select score
          from pgpipe.hybrid_search('doc', 'jacket', %s, 1, text_weight => 3, vector_weight => 2, rrf_k => 10)
    """
    assert value(docs, score, X) == pytest.approx(3 / 11 + 2 / 15)
    for weights, best in ({"text_weight": 0}, 1), ({"vector_weight": 0}, 5):
        docs.execute("select pgpipe.set_ranking('doc', %s)", (json.dumps(weights),))
        assert value(docs, first, X, None, None) == best


def test_hybrid_with_filter_and_k(docs: Connection) -> None:
    """The filter holds in both lists, and k bounds the answer even where it is larger than `candidates`."""
    docs.execute("update doc set body = 'jacket'")
    hybrid = "select (key ->> 'id')::int from pgpipe.hybrid_search('doc', 'jacket', %s, %s, %s, candidates => %s)"

    assert column(docs, hybrid, X, 10, json.dumps({"id": [4, 5]}), 100) == [4, 5]
    assert len(column(docs, hybrid, X, 5, None, 1)) == 5
    assert len(column(docs, hybrid, X, 2, None, 100)) == 2


def test_hybrid_of_a_question_without_words(docs: Connection) -> None:
    """Stop words only: the meaning alone answers."""
    assert len(column(docs, "select key from pgpipe.hybrid_search('doc', 'the', %s)", X)) == 5


@also_on_16
@pytest.mark.parametrize(
    "query", ["", "x", "the " * 10_000, '& | ! -- " ""', "\U0001f600", "title " * 10_000, "-title"]
)
def test_odd_questions_in_both_ways(docs: Connection, query: str) -> None:
    """Whatever the words are, the meaning answers; a filter holds as ever."""
    hybrid = "select (key ->> 'id')::int from pgpipe.hybrid_search('doc', %s, %s, 10, %s)"

    assert set(column(docs, hybrid, query, X, None)) == {1, 2, 3, 4, 5}
    assert set(column(docs, hybrid, query, X, '{"size": {"lt": 3}}')) == {1, 2}


def test_two_embeddings_one_is_searched(docs: Connection) -> None:
    """A second embedding fills beside the first; search goes on with the active one."""
    second = embed(docs, columns=["title"], name="second", dims=2)
    drain(docs, second, "[1,1]")

    assert column(docs, NEAR, X, 10, None) == [1, 2, 3, 4, 5]


def test_missing_parts(conn: Connection) -> None:
    """No embedding: PP008. No search column: PP005 in hybrid search. A vector of other dimensions: PP009."""
    make_docs(conn, 1)
    assert sqlstate(conn, NEAR, X, 10, None) == "PP008"
    embed(conn)
    assert column(conn, NEAR, X, 10, None) == []
    assert sqlstate(conn, "select pgpipe.hybrid_search('doc', 'x', '[1,0,0]')") == "PP005"
    drain(conn, 1)
    assert sqlstate(conn, NEAR, "[1,0]", 10, None) == "PP009"


@also_on_16
def test_many_dimensions(conn: Connection) -> None:
    """Above 2000 dimensions the store holds half-precision vectors: written, searched and indexed alike."""
    make_docs(conn, 3)
    embedding = embed(conn, dims=2500)
    near = json.dumps([1] + [0] * 2499)
    far = json.dumps([0] * 2499 + [1])
    conn.execute(
        "update pgpipe.job set visible_at = 'infinity', dead_at = now(), last_error = 'x' where key <> '{\"id\": 2}'"
    )
    finish(conn, claim(conn, embedding), near)
    conn.execute("select pgpipe.retry_jobs()")
    drain(conn, embedding, far)

    kind = (
        "select format_type(atttypid, atttypmod) from pg_attribute where attrelid = %s::regclass and attname = 'vector'"
    )
    assert value(conn, kind, "doc_embedding") == "halfvec(2500)"
    rows = conn.execute("select key ->> 'id', score from pgpipe.vector_search('doc', %s)", (near,)).fetchall()
    assert rows == [("2", pytest.approx(1)), ("1", pytest.approx(0)), ("3", pytest.approx(0))]
    faint = json.dumps([1e-9] * 2500)  # zero in half precision
    assert sqlstate(conn, NEAR, faint, 10, None) == "PP009"
