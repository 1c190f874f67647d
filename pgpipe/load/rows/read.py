"""Parquet row groups to batches of bounded size."""

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pgpipe.errors import DataError
from pgpipe.load.plan.files import INT96_UNIT, named
from pgpipe.load.plan.parts import Part, RowGroup
from pgpipe.load.rows.extent import EACH, Group, few_at_a_time, leaves
from pgpipe.load.rows.int96 import int96_columns, within_calendar
from pgpipe.load.rows.shape import shaped
from pgpipe.load.rows.sized import cost, read_by_size, read_columns, split
from pgpipe.source import File, Source

BATCH_BYTES = 4 << 20  # of Arrow data in one batch
BATCH_ROWS = 65536
SMALL = 256 << 10  # a file of at most so many bytes is read whole, with one request, and shares a batch with others
STREAMED = 64 << 20  # of a larger row group only a window of each column is in memory
WINDOW = 1 << 20


@dataclass(frozen=True)
class Piece:
    """Consecutive rows of a row group."""

    group: RowGroup
    first: int  # number of the first row within its row group, from 0
    rows: pa.RecordBatch


def where(group: RowGroup) -> str:
    """How messages name a row group."""
    return f"{group.part.file.uri}, row group {group.number}"


Batch = list[Piece]  # pieces of one schema, together not larger than a batch


def row_groups(parts: Iterable[Part]) -> list[RowGroup]:
    """The work of a load; the largest row groups first, so that no connection is left with one at the end."""
    found = [RowGroup(part, number) for part in parts for number in range(len(part.rows)) if part.rows[number]]
    return sorted(found, key=lambda group: -group.bytes)


@dataclass
class Footer:
    """Of the file that was read last: to parse it for each of many row groups takes longer than to read them.

    pyarrow's metadata and schema hold each other, so each that is parsed again stays until Python looks for such rings.
    """

    file: File | None = None
    metadata: pq.FileMetaData | None = None

    def of(self, group: RowGroup) -> pq.FileMetaData | None:
        """The footer of the row group's file, if it is known."""
        return self.metadata if self.file == group.part.file else None


def read_batches(source: Source, group: RowGroup, footer: Footer | None = None) -> Iterator[pa.RecordBatch]:
    """The rows of a row group, about BATCH_BYTES at a time, whatever their sizes are.

    Raises:
        DataError: the file is not Parquet, or is damaged; the message names it.
        SourceError: the source broke off, or the file changed meanwhile.
    """
    with _open(source, group.part) as stream, named(group.part.file):
        read = 0
        for decoded in _decoded(stream, group, footer or Footer()):
            for rows in split(decoded):
                yield _with_constants(rows, group.part)
            read += decoded.num_rows
        if read != group.rows:
            raise DataError(f"{where(group)} holds {read:,} rows, its footer says {group.rows:,}; upload it again")


def _open(source: Source, part: Part) -> AbstractContextManager[pa.NativeFile]:
    return nullcontext(pa.BufferReader(part.content)) if part.content else source.open(part.file)


def _decoded(stream: pa.NativeFile, group: RowGroup, footer: Footer) -> Iterator[pa.RecordBatch]:
    at_once = max(1, min(BATCH_ROWS, group.rows * BATCH_BYTES // max(group.bytes, 1)))
    small, large = group.part.file.bytes <= SMALL, group.bytes > STREAMED
    file = pa.BufferReader(stream.read()) if small else stream
    # A few large requests instead of one a column, unless these would hold too much.
    prepared = {"pre_buffer": not (small or large), "buffer_size": WINDOW if large else 0}
    parquet = _opened(file, metadata=footer.of(group), **prepared)
    footer.file, footer.metadata = group.part.file, parquet.metadata
    owned = leaves(parquet.schema_arrow)
    wanted = list(group.part.shape.reads if group.part.shape else range(len(owned)))
    extents = Group(parquet, group.number, file, WINDOW, owned).extents(wanted)
    few = few_at_a_time(extents)
    each = sum(extent.each for number, extent in extents.items() if number not in few)
    at_once = max(1, min(at_once, EACH // max(each, 1)))
    old = [wanted.index(number) for number in int96_columns(parquet, owned) if number in wanted]
    if few:
        parquet = _opened(file, metadata=parquet.metadata, pre_buffer=False, buffer_size=WINDOW)
        batches = read_by_size(parquet, group.number, wanted, few, at_once, BATCH_BYTES)
    else:
        batches = read_columns(parquet, group.number, wanted, at_once, owned)
    shape = group.part.shape
    for rows in batches:
        found = within_calendar(rows, old)
        yield shaped(found, shape) if shape else found


def _opened(file: pa.NativeFile, **how: Any) -> pq.ParquetFile:  # noqa: ANN401 - options of pyarrow
    # Checksums are compared where the writer left any.
    return pq.ParquetFile(file, coerce_int96_timestamp_unit=INT96_UNIT, page_checksum_verification=True, **how)


def _with_constants(rows: pa.RecordBatch, part: Part) -> pa.RecordBatch:
    for name, value in part.constants:
        rows = rows.append_column(name, pa.repeat(pa.scalar(value, pa.string()), rows.num_rows))
    return rows


def read_groups(source: Source, work: Iterable[RowGroup]) -> Iterator[Batch]:
    """The rows of all row groups in their order; small ones share a batch, as long as their columns are the same."""
    footer = Footer()
    for small, run in groupby(work, lambda group: group.part.file.bytes <= SMALL):
        if small:
            yield from _shared(source, run, footer)
            continue
        for group in run:
            first = 0
            for rows in read_batches(source, group, footer):
                yield [Piece(group, first, rows)]
                first += rows.num_rows


def _shared(source: Source, work: Iterable[RowGroup], footer: Footer) -> Iterator[Batch]:
    batch: Batch = []
    size = 0
    for group in work:
        first = 0
        for rows in read_batches(source, group, footer):
            taken = cost(rows)
            if batch and (size + taken > BATCH_BYTES or not rows.schema.equals(batch[0].rows.schema)):
                yield batch
                batch, size = [], 0
            batch.append(Piece(group, first, rows))
            first += rows.num_rows
            size += taken
    if batch:
        yield batch
