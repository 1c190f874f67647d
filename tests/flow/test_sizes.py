"""The query of docs/operating.md that tells what rows, indexes and vectors take."""

import re
from pathlib import Path

from pgpipe.db import Connection
from tests.sql.support import embedded_docs

PAGE = (Path(__file__).parents[2] / "docs/operating.md").read_text(encoding="utf-8")


def test_the_query_tells_sizes(conn: Connection) -> None:
    """Of the target, its store, and the indexes of both, each with the rows it is divided by."""
    (query,) = re.findall(r"^```sql\n(select c\.oid::regclass as what.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    embedded_docs(conn, 200)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")
    conn.execute("analyze doc, doc_embedding")

    found = {what: (each, rows) for what, each, rows in conn.execute(query.encode()).fetchall()}

    assert {"doc", "doc_embedding", "doc_pkey", "doc_search_idx"} <= set(found)
    assert all(rows == 200 and each > 0 for each, rows in found.values()), found
