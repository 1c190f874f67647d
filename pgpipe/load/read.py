"""Parquet row groups to batches of bounded size, read ahead of whoever sends them."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import groupby
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as at

from pgpipe.errors import DataError
from pgpipe.load import types
from pgpipe.load.kernels import Array, at_leaves, pc
from pgpipe.load.preflight import INT96_UNIT, Part, named
from pgpipe.source import Source

BATCH_BYTES = 4 << 20  # of Arrow data in one batch
BATCH_ROWS = 65536
SMALL = 256 << 10  # a file of at most so many bytes is read whole, with one request, and shares a batch with others
STREAMED = 64 << 20  # of a larger row group only a window of each column is in memory
WINDOW = 1 << 20
INT96_YEARS = -210_866_803_200_000_000, 253_402_300_799_999_999  # 4714-11-24 BC to the end of 9999
NO_MOMENT = -(2**63)  # which no column takes: a bad value
WAIT = 0.1  # seconds between two looks at whether anybody still wants what was read

T = TypeVar("T")


@dataclass(frozen=True)
class Unit:
    """What one worker takes at a time: a row group of a file."""

    part: Part
    group: int

    @property
    def rows(self) -> int:
        """As the footer says."""
        return self.part.rows[self.group]

    @property
    def bytes(self) -> int:
        """Uncompressed, as the footer says."""
        return self.part.bytes[self.group]


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a row group."""

    unit: Unit
    first: int  # number of the first row within its row group, from 0
    rows: pa.RecordBatch


def where(unit: Unit) -> str:
    """How messages name a row group."""
    return f"{unit.part.file.uri}, row group {unit.group}"


Batch = list[Piece]  # pieces of one schema, together not larger than a batch


def units(parts: Iterable[Part]) -> list[Unit]:
    """The work of a load; the largest row groups first, so that no connection is left with one at the end."""
    found = [Unit(part, group) for part in parts for group in range(len(part.rows)) if part.rows[group]]
    return sorted(found, key=lambda u: -u.bytes)


def read_batches(source: Source, unit: Unit) -> Iterator[pa.RecordBatch]:
    """The rows of a row group, BATCH_BYTES at a time.

    Raises:
        DataError: the file is no Parquet, or damaged; the message names it.
        SourceError: the source broke off, or the file changed meanwhile.
    """
    at_once = max(1, min(BATCH_ROWS, unit.rows * BATCH_BYTES // max(unit.bytes, 1)))
    large = unit.bytes > STREAMED
    with source.open(unit.part.file) as stream, named(unit.part.file):
        small = unit.part.file.bytes <= SMALL
        parquet = pq.ParquetFile(
            pa.BufferReader(stream.read()) if small else stream,
            pre_buffer=not (small or large),  # a few large requests instead of one a column
            buffer_size=WINDOW if large else 0,
            coerce_int96_timestamp_unit=INT96_UNIT,
            page_checksum_verification=True,  # where the writer left any
        )
        old = int96_columns(parquet)
        read = 0
        for rows in parquet.iter_batches(batch_size=at_once, row_groups=[unit.group], use_threads=False):
            yield _with_constants(_within_calendar(rows, old), unit.part)
            read += rows.num_rows
        if read != unit.rows:
            raise DataError(f"{where(unit)} holds {read:,} rows, its footer says {unit.rows:,}; upload it again")


def int96_columns(parquet: pq.ParquetFile) -> list[int]:
    """The columns with a timestamp in 96 bits, at any depth."""
    owners = [n for n, field in enumerate(parquet.schema_arrow) for _ in range(leaves(field.type))]
    return sorted({n for leaf, n in enumerate(owners) if parquet.schema.column(leaf).physical_type == "INT96"})


def leaves(kind: pa.DataType) -> int:
    """How many columns of Parquet an Arrow type is stored in."""
    kind = types.storage(kind)
    if not at.is_nested(kind):
        return 1
    return sum(leaves(kind.field(number).type) for number in range(kind.num_fields))


def _within_calendar(rows: pa.RecordBatch, columns: list[int]) -> pa.RecordBatch:
    """Timestamps of 96 bits may lie beyond what 64 hold, and come out as any other: out of range is what looks so."""
    for number in columns:
        rows = rows.set_column(number, rows.schema.names[number], at_leaves(rows.column(number), _mark_out_of_range))
    return rows


def _mark_out_of_range(array: Array) -> Array:
    if not at.is_timestamp(array.type):
        return array
    low, high = (pa.scalar(end).cast(array.type) for end in INT96_YEARS)
    outside = pc.or_(pc.less(array, low), pc.greater(array, high))
    if not pc.any(outside).as_py():
        return array
    return pc.if_else(outside, pa.scalar(NO_MOMENT).cast(array.type), array)


def _with_constants(rows: pa.RecordBatch, part: Part) -> pa.RecordBatch:
    for name, value in part.constants:
        rows = rows.append_column(name, pa.repeat(pa.scalar(value, pa.string()), rows.num_rows))
    return rows


def read_units(source: Source, work: Iterable[Unit]) -> Iterator[Batch]:
    """The rows of all units in their order; small ones share a batch, as long as their columns are the same."""
    for small, run in groupby(work, lambda unit: unit.part.file.bytes <= SMALL):
        if small:
            yield from _shared(source, run)
            continue
        for unit in run:
            first = 0
            for rows in read_batches(source, unit):
                yield [Piece(unit, first, rows)]
                first += rows.num_rows


def _shared(source: Source, work: Iterable[Unit]) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for unit in work:
        first = 0
        for rows in read_batches(source, unit):
            # The footer's figure: to ask every array for its own would cost as much as reading it.
            if batch and (size + unit.bytes > BATCH_BYTES or not rows.schema.equals(batch[0].rows.schema)):
                yield batch
                batch, size = [], 0
            batch.append(Piece(unit, first, rows))
            first += rows.num_rows
        size += unit.bytes
    if batch:
        yield batch


class _Ahead(Generic[T]):
    """A queue that a thread of its own fills."""

    def __init__(self, items: Iterable[T], depth: int) -> None:
        self._items = items
        self._made: Queue[T | _End] = Queue(depth)
        self._stop = Event()
        self._thread = Thread(target=self._make, name="read", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._made.get(), _End):
            yield item
        if item.error:
            raise item.error

    def close(self) -> None:
        """End the thread; what it has made is dropped."""
        self._stop.set()
        while self._thread.is_alive():
            with suppress(Empty):
                self._made.get_nowait()
            self._thread.join(WAIT)

    def _make(self) -> None:
        try:
            for item in self._items:
                self._put(item)
                if self._stop.is_set():
                    return
            self._put(_End(None))
        except BaseException as exc:  # noqa: BLE001 - raised again where the item was asked for
            self._put(_End(exc))

    def _put(self, item: "T | _End") -> None:
        while not self._stop.is_set():
            with suppress(Full):
                self._made.put(item, timeout=WAIT)
                return


@dataclass(frozen=True)
class _End:
    error: BaseException | None


@contextmanager
def ahead(items: Iterable[T], depth: int) -> Iterator[Iterable[T]]:
    """The same items, made by a thread of their own, up to `depth` of them before they are asked for."""
    made = _Ahead(items, depth)
    try:
        yield made
    finally:
        made.close()
