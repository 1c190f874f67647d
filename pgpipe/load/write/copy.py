"""Batches of Parquet rows to binary COPY: convert, encode and send, over several connections at once."""

import re
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import numpy as np
import pgpq
import psycopg
import pyarrow as pa
from psycopg import sql

from pgpipe import errors
from pgpipe.db import Connection, awake, translate
from pgpipe.load.plan.parts import RowGroup
from pgpipe.load.rows.ahead import ahead
from pgpipe.load.rows.bad_values import to_wire
from pgpipe.load.rows.read import Batch, read_groups, row_groups, where
from pgpipe.load.rows.rejects import Rejects, bad_row
from pgpipe.load.write.run import Lesson, Progress, Run
from pgpipe.log import get_logger
from pgpipe.source import Source
from pgpipe.target import Target

DEPTH = 2  # batches that are ready before the connection asks for them
READY = 12 << 20  # bytes of those, with which no other is begun
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # of a binary COPY: signature, flags, length of the extension
TRAILER = b"\xff\xff"
NUMBER = re.compile(r"\d+")
NAME = re.compile(r'"((?:[^"]|"")*)"')  # each of an identifier
STORING = "RelationGetBufferForTuple"  # the server's function that finds a row too large
BUFFERED = 1000  # rows that COPY reads before it stores them: if it finds one too large then, it names the last
TRACE = ("pgpipe_part", "pgpipe_number")
COPY = sql.SQL("copy {} ({}) from stdin (format binary)")

T = TypeVar("T")
log = get_logger(__name__)


class RefusedByServer(errors.DataError):
    """A row that PostgreSQL refused during COPY."""


class Stopped(errors.PgpipeError):
    """Another connection of the same load failed."""


@dataclass(frozen=True)
class Copier:
    """What all connections of one load have in common."""

    source: Source
    table: sql.Identifier
    lesson: Lesson
    progress: Progress
    stop: threading.Event
    rejects: Rejects
    traced: dict[tuple[str, int], int] | None = None  # number of each row group, staged with each row and its number

    def copy(self, conn: Connection, work: Iterable[RowGroup]) -> int:
        """Copy row groups in one COPY on this connection, within its transaction.

        Returns:
            The number of rows stored: those sent, less those that a trigger of the table left out.

        Raises:
            DataError: a file cannot be read, or a value does not fit; the message names file, row group and column.
            SourceError: the source broke off.
            DatabaseError, Unreachable: from the server.
            Stopped: another connection failed.
        """
        sent = Sent(self.refused_at)
        try:
            ready = ahead(self.converted(work), DEPTH, READY, lambda made: int(made[1].nbytes))
            with ready as batches, conn.cursor() as cursor:
                with cursor.copy(self.statement) as stream:
                    self._send(stream, batches, sent)
                return cursor.rowcount
        except psycopg.Error as exc:
            raise sent.located(exc) from exc

    def _send(self, stream: psycopg.Copy, batches: Iterable[tuple[Batch, pa.RecordBatch]], sent: "Sent") -> None:
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
            stream.write(encoder.write_batch(wire))
            self.progress(wire.num_rows)
        stream.write(encoder.finish() if encoder else TRAILER)  # the encoder holds back up to a megabyte

    @property
    def _names(self) -> list[str]:
        return [c.name for c in self.lesson.columns] + [*TRACE] * (self.traced is not None)

    @property
    def statement(self) -> sql.Composed:
        """The COPY of all columns."""
        return COPY.format(self.table, sql.SQL(", ").join(map(sql.Identifier, self._names)))

    def refused_at(self, exc: psycopg.Error) -> tuple[int | None, str | None]:
        """Line and column of the COPY that a refusal is about, if the server says so."""
        table = NAME.findall(self.table.as_string())[-1].replace('""', '"')
        return refused_at(exc.diag.context or "", table, self._names)

    def converted(self, work: Iterable[RowGroup]) -> Iterator[tuple[Batch, pa.RecordBatch]]:
        """Batches without what is rejected, and their rows in the form that they travel in."""
        for batch in read_groups(self.source, work):
            good, wire = to_wire(batch, self.lesson.columns, self.lesson.known, self.rejects)
            yield good, wire if self.traced is None else traced(good, wire, self.traced)


def traced(batch: Batch, wire: pa.RecordBatch, numbers: dict[tuple[str, int], int]) -> pa.RecordBatch:
    """The rows with where each came from: the number of its row group, and its own in that."""
    groups = [numbers[piece.group.place] for piece in batch]
    sizes = [piece.rows.num_rows for piece in batch]
    rows = [np.arange(piece.first, piece.first + piece.rows.num_rows) for piece in batch]
    added: list[Any] = [
        pa.array(np.repeat(np.array(groups, np.int64), sizes)),
        pa.array(np.concatenate([*rows, []]), pa.int64()),
    ]
    return pa.RecordBatch.from_arrays([*wire.columns, *added], [*wire.schema.names, *TRACE])


def copy_parallel(run: Run, table: Target, lesson: Lesson, traced: dict[tuple[str, int], int] | None = None) -> int:
    """Copy all rows into a table nobody reads yet, over up to `run.jobs` connections, each its own transaction.

    With numbers of the row groups, where each row came from is staged with it.

    Returns:
        The number of rows sent.

    Raises:
        PgpipeError: as Copier.copy.
    """
    stop = threading.Event()
    copier = Copier(run.source, sql.Identifier(*table.pair), lesson, run.progress, stop, run.rejects, traced)
    todo = row_groups(run.plan.parts)
    work = drained(todo)

    def copy(conn: Connection) -> int:
        with conn.transaction():
            return copier.copy(conn, work)

    return sum(on_connections(run, min(run.jobs, len(todo)) or 1, copy, stop))


def drained(items: Iterable[T]) -> Iterator[T]:
    """The items, each given to the thread that asks first."""
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


def on_connections(run: Run, count: int, work: Callable[[Connection], T], stop: threading.Event) -> list[T]:
    """Do the same over several connections at once; when one fails, `stop` tells the others.

    If the server has fewer free, over those; if it has none, over the load's own.

    Raises:
        PgpipeError: the first that was not caused by another's.
    """

    def guarded(conn: Connection) -> T:
        try:
            return work(conn)
        except psycopg.Error as exc:
            stop.set()
            raise translate(exc) from exc
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(count, thread_name_prefix="copy") as pool, ExitStack() as opened:
        connections = _connections(run, count, pool, opened)
        if not connections:
            return [guarded(run.conn)]
        running: list[Future[T]] = []
        try:
            with awake(run.conn):
                running += [pool.submit(guarded, conn) for conn in connections]
                failed = [exc for future in running if (exc := future.exception())]
        except BaseException:  # interrupted: let the connections end before the error goes on
            stop.set()
            wait(running)
            raise
    if failed:
        raise next((exc for exc in failed if not isinstance(exc, Stopped)), failed[0])
    return [future.result() for future in running]


def _connections(run: Run, count: int, pool: Executor, opened: ExitStack) -> list[Connection]:
    """Up to so many connections, opened at once. If the server refuses some, a line says so."""

    def connect(_number: int) -> Connection | errors.Unreachable:
        try:
            conn = run.database.connect(autocommit=True)
        except errors.Unreachable as exc:
            return exc
        opened.callback(conn.close)
        return conn

    tried = list(pool.map(connect, range(count)))
    refused = [each for each in tried if isinstance(each, errors.Unreachable)]
    connections = [each for each in tried if not isinstance(each, errors.Unreachable)]
    if refused:
        got = len(connections) or 1
        log.warning("fewer connections than wanted", entity=run.entity, wanted=count, got=got, error=str(refused[0]))
        run.tell(f"{run.entity} is copied over {got} of {count} connections: {refused[0]}")
    return connections


class Sent:
    """Where the rows of one COPY came from, so that what the server says of its line N can be said of a file."""

    def __init__(self, refused_at: Callable[[psycopg.Error], tuple[int | None, str | None]]) -> None:
        self._refused_at = refused_at
        self.rows = 0
        self._starts: list[int] = []
        self._pieces: list[tuple[RowGroup, int]] = []  # group and number of the row within it

    def add(self, batch: Batch) -> None:
        """Remember the pieces of a batch; those that follow on from the one before need no entry."""
        for piece in batch:
            known = self._pieces[-1] if self._pieces else None
            if not (known and known[0] is piece.group and self._starts[-1] - known[1] == self.rows - piece.first):
                self._starts.append(self.rows)
                self._pieces.append((piece.group, piece.first))
            self.rows += piece.rows.num_rows

    def located(self, exc: psycopg.Error) -> errors.PgpipeError:
        """The error, with the file, row group and row that it is about where the server tells."""
        error = translate(exc)
        if not isinstance(error, errors.DataError) or not self._starts:
            return error
        line, column = self._refused_at(exc)
        if line is None:  # it does not say: the last one that was sent is near
            return RefusedByServer(f"{where(self._pieces[-1][0])}: {error}")
        at = min(line, self.rows) - 1  # the server counts from 1, and the end as well
        found = bisect_right(self._starts, at) - 1
        group, first = self._pieces[found]
        row = first + at - self._starts[found]
        if is_oversized(exc):
            return RefusedByServer(f"{where(group)}, among the {BUFFERED:,} rows up to row {row}: {error}")
        return RefusedByServer(str(bad_row(group, row, column, str(error))))


def is_oversized(exc: BaseException | None) -> bool:
    """Whether a row was too large for a page, and not a value for an index."""
    return isinstance(exc, psycopg.errors.ProgramLimitExceeded) and exc.diag.source_function == STORING


def refused_at(context: str, table: str, columns: list[str]) -> tuple[int | None, str | None]:
    """Line and column of a COPY that the server tells in its language; its own is the outermost of the contexts.

    All languages name the table first, then the line, then the column.
    """
    _, named, rest = context.rpartition("\n")[2].partition(table)
    number = NUMBER.search(rest) if named else None
    if number is None:
        return None, None
    said = f"{rest[number.end() :]} "
    return int(number[0]), max((c for c in columns if f" {c} " in said), key=len, default=None)
