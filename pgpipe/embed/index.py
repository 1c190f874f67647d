"""The vector index of a store: built once the backlog is gone, because an HNSW index makes every insert slower."""

from functools import cache

import structlog

from pgpipe.db import Connection, translated
from pgpipe.embed import queue
from pgpipe.embed.queue import Embedding

NEIGHBOURS = 300  # bytes a row that the graph takes beside the vector, with pgvector's default m = 16
MEMORY = (64, 1024)  # MB, bounds of maintenance_work_mem during a build
STATEMENTS = """
    select v.rows, v.cleanup, v.statement, pg_has_role(c.relowner, 'usage')
      from pgpipe.vector_index(%(id)s) v
      join pgpipe.embedding e on e.embedding_id = %(id)s join pg_catalog.pg_class c on c.oid = e.store
"""
TRY_LOCK = "select pg_try_advisory_lock(hashtext('pgpipe index'), %s)"
UNLOCK = "select pg_advisory_unlock(hashtext('pgpipe index'), %s)"
log = structlog.get_logger()


def build(conn: Connection, embedding: Embedding) -> bool:
    """Build the HNSW index of a store that is large, has no backlog and no index. Returns whether it was built."""
    with translated():
        row = conn.execute(STATEMENTS, {"id": embedding.embedding_id}).fetchone()
        if row is None or row[2] is None or queue.waiting(conn, embedding):
            return False
        rows, cleanup, statement, owned = row
        if not owned:  # only who owns a table may index it: the next load does
            _tell_once(embedding)
            return False
        if conn.execute(TRY_LOCK, (embedding.embedding_id,)).fetchone() != (True,):
            return False  # another worker is at it
        memory = min(max(MEMORY[0], rows * (embedding.dims * 4 + NEIGHBOURS) >> 20), MEMORY[1])
        log.info("building vector index", entity=embedding.entity, rows=rows, memory_mb=memory)
        try:
            conn.execute("select set_config('maintenance_work_mem', %s, false)", (f"{memory}MB",))
            conn.execute(cleanup.encode())
            conn.execute(statement.encode())
        finally:
            conn.execute("reset maintenance_work_mem")
            conn.execute(UNLOCK, (embedding.embedding_id,))
    return True


@cache
def _tell_once(embedding: Embedding) -> None:
    log.warning("the vector index waits for the next load: this role does not own the store", entity=embedding.entity)
