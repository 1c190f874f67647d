"""Batches of Parquet rows to binary COPY: convert, encode and send, over several connections at once."""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import pgpq
import psycopg
import pyarrow as pa
from psycopg import sql

from pgpipe import errors
from pgpipe.db import Connection, Database, translate
from pgpipe.load.convert import convert, converter
from pgpipe.load.preflight import Column, Part
from pgpipe.load.read import Batch, Piece, Unit, ahead, read_units, units
from pgpipe.source import Source

DEPTH = 2  # batches that are ready before the connection asks for them
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # of a binary COPY: signature, flags, length of the extension
TRAILER = b"\xff\xff"
REASON = re.compile(r'reason: "(.*?)"')  # in what the encoder raises
LINE = re.compile(r"^COPY .*, line (\d+)", re.MULTILINE)  # in the context of what the server raises
COPY = sql.SQL("copy {} ({}) from stdin (format binary)")

Progress = Callable[[int], None]  # takes the number of rows sent since the last call
T = TypeVar("T")


class Stopped(errors.PgpipeError):
    """Another connection of the same load failed."""


@dataclass(frozen=True)
class Copier:
    """What all connections of one load have in common."""

    source: Source
    table: sql.Identifier
    columns: list[Column]
    progress: Progress
    stop: threading.Event

    def copy(self, conn: Connection, work: Iterable[Unit]) -> int:
        """Copy row groups in one COPY on this connection, within its transaction.

        Returns:
            The number of rows sent.

        Raises:
            DataError: a file cannot be read, or a value does not fit; the message names file, row group and column.
            SourceError: the source broke off.
            DatabaseError, Unreachable: from the server.
            Stopped: another connection failed.
        """
        statement = COPY.format(self.table, sql.SQL(", ").join(sql.Identifier(c.name) for c in self.columns))
        sent = Sent()
        try:
            with (
                ahead(self._converted(work), DEPTH) as batches,
                conn.cursor() as cursor,
                cursor.copy(statement) as stream,
            ):
                stream.write(HEADER)
                encoder: pgpq.ArrowToPostgresBinaryEncoder | None = None
                schema: pa.Schema | None = None
                for batch, wire in batches:
                    if self.stop.is_set():
                        raise Stopped("stopped because another connection of this load failed")
                    if encoder is None or wire.schema != schema:  # files may differ in the scale of a number
                        if encoder is not None:
                            stream.write(encoder.finish().removesuffix(TRAILER))
                        schema = wire.schema
                        encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
                        encoder.write_header()
                    sent.add(batch)
                    stream.write(_encoded(encoder, batch, wire))
                    self.progress(wire.num_rows)
                stream.write(encoder.finish() if encoder else TRAILER)  # the encoder holds back up to a megabyte
        except psycopg.Error as exc:
            raise sent.located(exc) from exc
        return sent.rows

    def _converted(self, work: Iterable[Unit]) -> Iterator[tuple[Batch, pa.RecordBatch]]:
        for batch in read_units(self.source, work):
            yield batch, to_wire(batch, self.columns)


def copy_parallel(
    database: Database,
    source: Source,
    parts: list[Part],
    table: sql.Identifier,
    columns: list[Column],
    jobs: int,
    progress: Progress,
) -> int:
    """Copy all rows into a table nobody reads yet, over up to `jobs` connections, each its own transaction.

    Returns:
        The number of rows sent.

    Raises:
        PgpipeError: as Copier.copy.
    """
    copier = Copier(source, table, columns, progress, threading.Event())
    todo = units(parts)
    work = drained(todo)

    def run(conn: Connection) -> int:
        with conn.transaction():
            return copier.copy(conn, work)

    return sum(on_connections(database, min(jobs, len(todo)) or 1, run, copier.stop))


def drained(items: Iterable[T]) -> Iterator[T]:
    """The items, each given to whoever of several threads asks first."""
    queue: SimpleQueue[T] = SimpleQueue()
    for item in items:
        queue.put(item)
    return _Drain(queue)


class _Drain(Iterator[T]):
    """A generator would refuse a second thread."""

    def __init__(self, queue: "SimpleQueue[T]") -> None:
        self._queue = queue

    def __next__(self) -> T:
        try:
            return self._queue.get_nowait()
        except Empty:
            raise StopIteration from None


def on_connections(database: Database, count: int, run: Callable[[Connection], T], stop: threading.Event) -> list[T]:
    """Run the same on several connections at once; when one fails, `stop` tells the others.

    Raises:
        PgpipeError: the first that was not caused by another's.
    """

    def guarded() -> T:
        try:
            with database.connect(autocommit=True) as conn:
                return run(conn)
        except psycopg.Error as exc:
            stop.set()
            raise translate(exc) from exc
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(count, thread_name_prefix="copy") as pool:
        try:
            running = [pool.submit(guarded) for _ in range(count)]
            failed = [exc for future in running if (exc := future.exception())]
        except BaseException:  # interrupted: let the connections end before the error goes on
            stop.set()
            raise
    if failed:
        raise next((exc for exc in failed if not isinstance(exc, Stopped)), failed[0])
    return [future.result() for future in running]


class Sent:
    """Where the rows of one COPY came from, so that what the server says of its line N can be said of a file."""

    def __init__(self) -> None:
        self.rows = 0
        self._starts: list[int] = []
        self._pieces: list[tuple[Unit, int]] = []  # unit and number of the row within it

    def add(self, batch: Batch) -> None:
        """Remember the pieces of a batch; those that follow on from the one before need no entry."""
        for piece in batch:
            known = self._pieces[-1] if self._pieces else None
            if not (known and known[0] is piece.unit and self._starts[-1] - known[1] == self.rows - piece.first):
                self._starts.append(self.rows)
                self._pieces.append((piece.unit, piece.first))
            self.rows += piece.rows.num_rows

    def located(self, exc: psycopg.Error) -> errors.PgpipeError:
        """The error, with the file, row group and row that it is about where the server tells."""
        error = translate(exc)
        if not isinstance(error, errors.DataError) or not self._starts:
            return error
        line = LINE.search(exc.diag.context or "")
        if line is None:  # a server that speaks another language: the last one that was sent is near
            return type(error)(f"{where(self._pieces[-1][0])}: {error}")
        at = int(line[1]) - 1  # the server counts from 1
        found = bisect_right(self._starts, at) - 1
        unit, first = self._pieces[found]
        return type(error)(f"{where(unit)}, row {first + at - self._starts[found]}: {error}")


def where(unit: Unit) -> str:
    """How messages name a row group."""
    return f"{unit.part.file.uri}, row group {unit.group}"


def to_wire(batch: Batch, columns: list[Column]) -> pa.RecordBatch:
    """The rows of a batch with the target's columns in the form they travel in; a column that is missing is NULL.

    Raises:
        DataError: a value does not fit; the message names file, row group and column.
    """
    try:
        return _wire(_joined(batch), columns)
    except errors.DataError as exc:
        raise _blamed(batch, lambda piece: _wire(piece.rows, columns), exc) from exc


def _joined(batch: Batch) -> pa.RecordBatch:
    if len(batch) == 1:
        return batch[0].rows
    return pa.Table.from_batches([piece.rows for piece in batch]).combine_chunks().to_batches()[0]


def _wire(rows: pa.RecordBatch, columns: list[Column]) -> pa.RecordBatch:
    arrays: list[Any] = []
    for column in columns:
        if column.name in rows.schema.names:
            arrays.append(convert(rows.column(column.name), column.sql, column.name))
        else:
            arrays.append(pa.array([None] * rows.num_rows, converter(column.sql, pa.null())))
    return pa.RecordBatch.from_arrays(arrays, [c.name for c in columns])


def _blamed(batch: Batch, again: Callable[[Piece], object], error: errors.DataError) -> errors.DataError:
    """The error with the file and row group of the piece that raises it when it is tried alone."""
    for piece in batch:
        try:
            again(piece)
        except errors.DataError as exc:
            return type(error)(f"{where(piece.unit)}: {exc}")
    return error


def _encoded(encoder: pgpq.ArrowToPostgresBinaryEncoder, batch: Batch, wire: pa.RecordBatch) -> bytes:
    try:
        return encoder.write_batch(wire)
    except ValueError as exc:  # a date that PostgreSQL's calendar does not reach; the encoder does not say where
        first = 0
        for piece in batch:
            for name in wire.schema.names:
                column = wire.slice(first, piece.rows.num_rows).select([name])
                alone = pgpq.ArrowToPostgresBinaryEncoder(column.schema)
                alone.write_header()
                try:
                    alone.write_batch(column)
                except ValueError as cause:
                    reason = REASON.search(str(cause))
                    message = f"column {name!r}: {reason[1] if reason else cause}"
                    raise errors.DataError(f"{where(piece.unit)}: {message}") from exc
            first += piece.rows.num_rows
        raise
