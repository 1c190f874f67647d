"""Rows that are too large for a page: COPY, which stores a thousand at once, says only that one is. Each is found."""

from collections.abc import Iterable

import pgpq
import psycopg
import pyarrow as pa

from pgpipe.db import Connection, translate
from pgpipe.load.plan.parts import RowGroup
from pgpipe.load.rows.read import Batch, Piece
from pgpipe.load.rows.rejects import Reasons
from pgpipe.load.write.copy import BUFFERED, Copier, is_oversized


def find_oversized(conn: Connection, copier: Copier, work: Iterable[RowGroup], limit: int) -> dict[RowGroup, Reasons]:
    """Copy all rows once more, into a table like the one that refused them, and take each copy back.

    Args:
        conn: within no transaction of its own, or within one that holds nothing else.
        copier: for that table.
        work: the row groups.
        limit: so many more than this are not looked for.

    Returns:
        The rows that are too large, by row group.
    """
    found: dict[RowGroup, Reasons] = {}
    left = limit + 1
    for batch, rows in copier.converted(work):
        start = 0
        while left and (refused := _first(conn, copier, rows.slice(start))):
            at, reason = refused
            piece, row = _place(batch, start + at)
            found.setdefault(piece.group, {})[piece.first + row] = (None, reason)
            start += at + 1
            left -= 1
        if not left:
            break
    return found


def _place(batch: Batch, row: int) -> tuple[Piece, int]:
    for piece in batch:
        if row < piece.rows.num_rows:
            return piece, row
        row -= piece.rows.num_rows
    raise AssertionError(row)


def _first(conn: Connection, copier: Copier, rows: pa.RecordBatch) -> tuple[int, str] | None:
    """The first row that is too large, and what the server says of it."""
    refusal = _refusal(conn, copier, rows)
    if refusal is None:
        return None
    line, _ = copier.refused_at(refusal)
    end = min(line or rows.num_rows, rows.num_rows)
    start = max(end - BUFFERED, 0) if line else 0
    while end - start > 1:  # the first of these that is refused is before `end`
        middle = (start + end) // 2
        if other := _refusal(conn, copier, rows.slice(start, middle - start)):
            end, refusal = middle, other
        else:
            start = middle
    alone = _refusal(conn, copier, rows.slice(start, 1))
    if alone is None:
        raise refusal
    return start, str(translate(alone))


def _refusal(conn: Connection, copier: Copier, rows: pa.RecordBatch) -> psycopg.Error | None:
    """The server's refusal of rows as too large; a copy that succeeds is taken back."""
    if not rows.num_rows:
        return None
    encoder = pgpq.ArrowToPostgresBinaryEncoder(rows.schema)
    try:
        with (
            conn.transaction(force_rollback=True),
            conn.cursor() as cursor,
            cursor.copy(copier.statement) as stream,
        ):
            stream.write(encoder.write_header())
            stream.write(encoder.write_batch(rows))
            stream.write(encoder.finish())
    except psycopg.Error as exc:
        if not is_oversized(exc):
            raise
        return exc
    return None
