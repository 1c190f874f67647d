"""Finding rows whose stored vectors are not of what they hold now, because no trigger saw the change."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pgpipe.db import Connection, translated
from pgpipe.embed.queue import Embedding

RANGE = 10_000  # rows that are compared in one transaction
NEXT = "select examined, enqueued, finished from pgpipe_internal.reconcile_rows(%s, %s)"
# A worker may have begun one long ago: what changed since, in rows that it had passed, it would not find.
TAKE_OVER = "delete from pgpipe.reconciliation where embedding_id = %s and worker is not null"
RESTART = "delete from pgpipe.reconciliation where embedding_id = any (%s)"
DONE = "select examined, enqueued from pgpipe.reconciliation where embedding_id = %s"
ROWS = "select pgpipe_internal.target_rows(target) from pgpipe.embedding where embedding_id = %s"


@dataclass
class Found:
    """What a reconciliation saw; with what an interrupted one before it did of the same pass."""

    examined: int = 0
    enqueued: int = 0


def rows(conn: Connection, embedding: Embedding) -> int:
    """About how many there are to compare."""
    row = conn.execute(ROWS, (embedding.embedding_id,)).fetchone()
    return int(row[0] or 0) if row else 0


def restart(conn: Connection, embeddings: Sequence[Embedding]) -> None:
    """Forget how far an interrupted reconciliation came."""
    conn.execute(RESTART, ([e.embedding_id for e in embeddings],))


def reconcile(
    conn: Connection, embedding: Embedding, progress: Callable[[int], None] = lambda _rows: None, step: int = RANGE
) -> Found:
    """Compare all rows of an embedding, a range of keys at a time; what is not right is enqueued.

    Stop it anywhere: every range is committed with its place, and the next call goes on from there.

    Args:
        conn: that commits each statement.
        embedding: whose rows.
        progress: told the rows of each range.
        step: rows of a range.

    Raises:
        DatabaseError: the target's columns are not those of the declaration any more.
    """
    with translated():
        conn.execute(TAKE_OVER, (embedding.embedding_id,))
        before = conn.execute(DONE, (embedding.embedding_id,)).fetchone()
        found = Found(*before) if before else Found()
        progress(found.examined)
        finished = False
        while not finished:
            row = conn.execute(NEXT, (embedding.embedding_id, step)).fetchone()
            assert row is not None
            examined, enqueued, finished = row
            found.examined += examined
            found.enqueued += enqueued
            progress(examined)
    return found
