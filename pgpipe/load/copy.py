"""Parquet row groups to binary COPY: read, convert, encode and send, over several connections at once."""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Any

import pgpq
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from psycopg import sql

from pgpipe import errors
from pgpipe.db import Connection, Database, translate
from pgpipe.load.convert import convert, converter
from pgpipe.load.preflight import Column, Part, named
from pgpipe.source import Source

BATCH_BYTES = 4 << 20  # of Arrow data held by one connection; its encoded copy is about as large again
BATCH_ROWS = 65536
HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # of a binary COPY: signature, flags, length of the extension
TRAILER = b"\xff\xff"
REASON = re.compile(r'reason: "(.*?)"')  # in what the encoder raises
COPY = sql.SQL("copy {} ({}) from stdin (format binary)")

Progress = Callable[[int], None]  # takes the number of rows sent since the last call


@dataclass(frozen=True)
class Unit:
    """What one worker takes at a time: a row group of a file."""

    part: Part
    group: int


def units(parts: list[Part]) -> list[Unit]:
    """The work of a load; the largest row groups first, so that no connection is left with one at the end."""
    found = [Unit(part, group) for part in parts for group in range(len(part.rows)) if part.rows[group]]
    return sorted(found, key=lambda u: -u.part.bytes[u.group])


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
        DataError: a file cannot be read or a value does not fit; the message names the file.
        SourceError: the source broke off.
        DatabaseError, Unreachable: from the server.
    """
    work: SimpleQueue[Unit] = SimpleQueue()
    todo = units(parts)
    for unit in todo:
        work.put(unit)
    stop = threading.Event()

    def run() -> int:
        try:
            with database.connect() as conn:
                return copy_units(conn, source, _drain(work), table, columns, progress, stop)
        except BaseException:
            stop.set()
            raise

    with ThreadPoolExecutor(min(jobs, len(todo)) or 1, thread_name_prefix="copy") as pool:
        try:
            running = [pool.submit(run) for _ in range(min(jobs, len(todo)))]
            failed = [exc for future in running if (exc := future.exception())]
        except BaseException:  # interrupted: let the connections end before the error goes on
            stop.set()
            raise
    if failed:
        raise next((exc for exc in failed if not isinstance(exc, Stopped)), failed[0])
    return sum(future.result() for future in running)


class Stopped(errors.PgpipeError):
    """Another connection of the same load failed."""


def _drain(work: "SimpleQueue[Unit]") -> Iterator[Unit]:
    try:
        while True:
            yield work.get_nowait()
    except Empty:
        return


def copy_units(
    conn: Connection,
    source: Source,
    work: Iterator[Unit],
    table: sql.Identifier,
    columns: list[Column],
    progress: Progress,
    stop: threading.Event | None = None,
) -> int:
    """Copy row groups in one COPY on this connection, within its transaction. Returns the number of rows."""
    statement = COPY.format(table, sql.SQL(", ").join(sql.Identifier(c.name) for c in columns))
    sent = 0
    unit = None
    try:
        with conn.cursor() as cursor, cursor.copy(statement) as stream:
            stream.write(HEADER)
            encoder: pgpq.ArrowToPostgresBinaryEncoder | None = None
            schema: pa.Schema | None = None
            for unit in work:
                for batch in read_batches(source, unit):
                    if stop and stop.is_set():
                        raise Stopped("stopped because another connection of this load failed")
                    wire = to_wire(batch, columns, unit)
                    if encoder is None or wire.schema != schema:  # files may differ in the scale of a number
                        if encoder is not None:
                            stream.write(encoder.finish().removesuffix(TRAILER))
                        schema = wire.schema
                        encoder = pgpq.ArrowToPostgresBinaryEncoder(schema)
                        encoder.write_header()
                    stream.write(_encoded(encoder, wire, unit))
                    sent += batch.num_rows
                    progress(batch.num_rows)
            stream.write(encoder.finish() if encoder else TRAILER)  # the encoder holds back up to a megabyte
    except psycopg.Error as exc:
        raise _located(translate(exc), unit) from exc
    return sent


def _encoded(encoder: pgpq.ArrowToPostgresBinaryEncoder, wire: pa.RecordBatch, unit: Unit) -> bytes:
    try:
        return encoder.write_batch(wire)
    except ValueError as exc:  # a date that PostgreSQL's calendar does not reach; the encoder does not say where
        for name in wire.schema.names:
            column = wire.select([name])
            alone = pgpq.ArrowToPostgresBinaryEncoder(column.schema)
            alone.write_header()
            try:
                alone.write_batch(column)
            except ValueError as cause:
                reason = REASON.search(str(cause))
                message = f"column {name!r}: {reason[1] if reason else cause}"
                raise _located(errors.DataError(message), unit) from exc
        raise


def read_batches(source: Source, unit: Unit) -> Iterator[pa.RecordBatch]:
    """The rows of a row group, BATCH_BYTES at a time."""
    rows, size = unit.part.rows[unit.group], unit.part.bytes[unit.group]
    at_once = max(1, min(BATCH_ROWS, rows * BATCH_BYTES // max(size, 1)))
    with source.open(unit.part.file) as stream, named(unit.part.file):
        parquet = pq.ParquetFile(stream, pre_buffer=True)
        yield from parquet.iter_batches(batch_size=at_once, row_groups=[unit.group], use_threads=False)


def to_wire(batch: pa.RecordBatch, columns: list[Column], unit: Unit) -> pa.RecordBatch:
    """The batch with the target's columns in the form they travel in; a column that the file lacks is NULL."""
    arrays: list[Any] = []
    try:
        for column in columns:
            if column.name in batch.schema.names:
                arrays.append(convert(batch.column(column.name), column.sql, column.name))
            else:
                arrays.append(pa.array([None] * batch.num_rows, converter(column.sql, pa.null())))
    except errors.DataError as exc:
        raise _located(exc, unit) from exc
    return pa.RecordBatch.from_arrays(arrays, [c.name for c in columns])


def _located(error: errors.PgpipeError, unit: Unit | None) -> errors.PgpipeError:
    if unit is None or not isinstance(error, errors.DataError):
        return error
    return type(error)(f"{unit.part.file.uri}, row group {unit.group}: {error}")
