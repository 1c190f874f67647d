"""Stores of many vectors that no model made, for the tests of the vector index."""

from pgpipe.db import Connection
from pgpipe.embed import queue
from pgpipe.embed.queue import Embedding
from pgpipe.settings.model import IndexSettings
from tests.sql.support import embed, make_docs, value

INDEXES = """
    select c.relname::text, i.indisvalid from pg_index i join pg_class c on c.oid = i.indexrelid
      join pg_am m on m.oid = c.relam where i.indrelid = 'doc_embedding'::regclass and m.amname in ('hnsw', 'ivfflat')
"""
FEW = 500  # rows of a store where their number does not matter: its index is built in a tenth of a second
FEW_DO = IndexSettings(min_rows=FEW)  # for an index


def filled(conn: Connection, rows: int = 5000, dims: int = 8, **declared: str) -> Embedding:
    """A store of vectors in all directions, no near twins (HNSW may answer either of two), as a drain leaves it."""
    make_docs(conn, rows)
    embed(conn, dims=dims, **declared)
    spread = """
        insert into doc_embedding
        select id, 0, 0, 5, pgpipe_internal.content_hash(concat_ws(chr(10), title, body)), 'fake',
               array(select hashint4extended(id, j) / 2.0 ^ 63 from generate_series(1, %s) j)::vector from doc
    """
    conn.execute(spread, (dims,))
    conn.execute("delete from pgpipe.job")
    conn.execute("analyze doc_embedding")
    return queue.embeddings(conn)[0]


def vector_of(conn: Connection, id_: int) -> str:
    """What is stored for a row: a question to which that row is the nearest answer."""
    return value(conn, "select vector::text from doc_embedding where id = %s", id_)
