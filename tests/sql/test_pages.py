"""Pages, one after the other, are the whole answer: in each mode, with and without a filter, ties and all."""

import json

import pytest

from pgpipe.db import Connection
from tests.sql.support import drain, embed, make_docs

QUESTION = "jacket rain"
CALLS = {
    "text": "pgpipe.text_search('doc', %(query)s, %(k)s, %(where)s, %(skip)s)",
    "vector": "pgpipe.vector_search('doc', %(vector)s, %(k)s, %(where)s, %(skip)s)",
    "hybrid": "pgpipe.hybrid_search('doc', %(query)s, %(vector)s, %(k)s, %(where)s, skip => %(skip)s)",
}
ROWS = 90
FILTERS: list[tuple[dict | None, set[int]]] = [
    (None, set(range(1, ROWS + 1))),
    ({"size": {"lt": 40}}, set(range(1, 40))),
    ({"size": {"in": [3, 50, 51]}}, {3, 50, 51}),
]


@pytest.fixture
def docs(conn: Connection) -> Connection:
    """Ninety docs of three texts, so each equals many; a third has the question's vector, a third none."""
    make_docs(conn)
    conn.execute(
        "insert into doc select n, case n %% 3 when 0 then 'rain jacket' when 1 then 'rain' else 'tent' end,"
        " 'with a jacket', n from generate_series(%s, 1, -1) n",
        (ROWS,),
    )
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")
    drain(conn, embed(conn))
    conn.execute("update doc_embedding set vector = '[0,1,0]' where id % 3 = 1")
    conn.execute("delete from doc_embedding where id % 3 = 2")
    return conn


def ask(conn: Connection, mode: str, where: dict | None, k: int, skip: int = 0) -> list[tuple]:
    """Key and score of the rows of a page."""
    values = {"query": QUESTION, "vector": "[1,0,0]", "where": json.dumps(where) if where else None}
    statement = f"select (key ->> 'id')::int, score from {CALLS[mode]}"
    return conn.execute(statement.encode(), values | {"k": k, "skip": skip}).fetchall()


@pytest.mark.parametrize(("where", "expected"), FILTERS)
@pytest.mark.parametrize("mode", CALLS)
def test_pages_are_the_whole(docs: Connection, mode: str, where: dict | None, expected: set[int]) -> None:
    """No row twice, none left out; equal scores in the order of their keys; behind the last page is nothing."""
    whole = ask(docs, mode, where, 1000)

    for size in (1, 7, 30):
        pages = [row for skip in range(0, len(whole) + 1, size) for row in ask(docs, mode, where, size, skip)]
        assert pages == whole
        assert ask(docs, mode, where, size, len(whole)) == []
    assert len(whole) == len({key for key, _ in whole})
    assert whole == sorted(whole, key=lambda row: (-row[1], row[0]))
    assert {key for key, _ in whole} == {n for n in expected if mode != "vector" or n % 3 != 2}
