"""Files by their footers, and the columns that rows of them will have."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Lock

import pyarrow as pa
import pyarrow.parquet as pq

from pgpipe.errors import DataError, SourceError
from pgpipe.load.plan.footer import what_is_wrong
from pgpipe.load.plan.parts import NAME_BYTES, Part
from pgpipe.source import File, Source
from pgpipe.source.contents import ENCRYPTED, MAGIC
from pgpipe.source.folders import hive_column
from pgpipe.source.layout import EntityFiles

OPENERS = 8  # a footer is one or two small requests
INT96_UNIT = "us"  # in nanoseconds, 64 bits end in 2262
FOOTER_BYTES = 64 << 10  # read first; a longer footer takes a second request
MOST_FOOTER = 256 << 20  # a longer one is taken for damage


Extremes = Callable[[pq.FileMetaData], Iterable[tuple[int, str]]]


class Room:
    """How many bytes of small files may be kept; shared by threads."""

    def __init__(self, size: int) -> None:
        self._left = size
        self._lock = Lock()

    def take(self, size: int) -> bool:
        """Whether so many more find room."""
        with self._lock:
            fits = size <= self._left
            self._left -= size * fits
            return fits


def read_footers(
    source: Source, files: tuple[File, ...], extremes: Extremes = lambda _metadata: (), keep: int = 0
) -> list[Part]:
    """Read the footers of all files, and what `extremes` takes of each.

    Args:
        source: of the files.
        files: whose footers.
        extremes: takes the metadata of each.
        keep: bytes of small files that are kept as they come along whole: their rows take no second request.

    Raises:
        DataError: a file is not Parquet, or is cut short; the message names it.
        SourceError: a file cannot be read.
    """
    room = Room(keep)
    with ThreadPoolExecutor(OPENERS, thread_name_prefix="footer") as pool:
        parts: list[Part] = []
        for part in pool.map(lambda file: read_footer(source, file, extremes, room), files):
            # One schema for all that have the same: a lake may have very many small files.
            same = bool(parts) and part.schema.equals(parts[-1].schema, check_metadata=True)
            parts.append(replace(part, schema=parts[-1].schema) if same else part)
        return parts


def read_footer(
    source: Source, file: File, extremes: Extremes = lambda _metadata: (), room: Room | None = None
) -> Part:
    """Read the footer of one file, as a rule with one request."""
    with source.open(file) as stream, named(file):
        tail = _footer(stream, file)
        parquet = pq.ParquetFile(pa.BufferReader(tail), coerce_int96_timestamp_unit=INT96_UNIT)
        metadata = parquet.metadata
        leaves = [metadata.schema.column(i) for i in range(metadata.num_columns)]
        columns = [(leaf.path, leaf.max_repetition_level > 0) for leaf in leaves]
        if wrong := what_is_wrong(tail[-8 - _size(tail) : -8], columns):
            raise DataError(f"{file.uri} {wrong}")
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        return Part(
            file,
            parquet.schema_arrow,
            tuple(g.num_rows for g in groups),
            tuple(g.total_byte_size for g in groups),
            extremes=tuple(extremes(metadata)),
            content=pa.py_buffer(tail) if room and len(tail) == file.bytes and room.take(len(tail)) else None,
        )


def with_path(part: Part, entity: EntityFiles, *, partitions: bool | None, path_column: str | None) -> Part:
    """The part with the columns that its path gives it: those of hive folders (`region=eu`), and the path itself.

    Args:
        part: the file.
        entity: its entity, with the folders of the date.
        partitions: whether folders give columns; if None, those that the file does not have itself.
        path_column: the name of the column that gets the path.
    """
    constants: list[tuple[str, str | None]] = []
    if partitions is not False:
        own = set() if partitions else set(part.schema.names)
        constants += [(name, value) for name, value in _folders(part, entity) if name not in own]
    if path_column:
        constants.append((path_column, part.file.uri))
    schema = part.schema
    for name, _ in constants:
        schema = schema.append(pa.field(name, pa.string()))
    return replace(part, schema=schema, constants=tuple(constants))


def _folders(part: Part, entity: EntityFiles) -> Iterator[tuple[str, str | None]]:
    """What the folders of a file say, above the entity's or the date's and below."""
    path = part.file.path
    above = (found for found in entity.folders if path.startswith(f"{found[0]}/"))
    folder, columns = next(above, (path.partition(f"{entity.entity}/")[0] + entity.entity, ()))
    yield from columns
    below = map(hive_column, path.removeprefix(f"{folder}/").split("/")[:-1])
    yield from (column for column in below if column)


def folder_remarks(parts: list[Part], entity: EntityFiles, *, partitions: bool | None) -> Iterator[str]:
    """What became of hive folders, and the setting that decides it."""
    taken = {name: None for part in parts for name, _ in part.constants}
    named = {name: name in taken for part in parts for name, _ in _folders(part, entity)}
    setting = f"entity.{entity.entity}.partitions"
    if columns := ", ".join(name for name, is_column in named.items() if is_column):
        yield f"columns from folders: {columns} ({setting} = false leaves them out)"
    if others := ", ".join(name for name, is_column in named.items() if not is_column):
        if partitions is False:
            yield f"folders that give no column: {others} ({setting} = true makes them columns)"
        else:
            yield f"folders whose column the files have themselves: {others}"


def _footer(stream: pa.NativeFile, file: File) -> bytes:
    """The end of a file from where its footer begins, or from before that.

    Raises:
        DataError: it is not Parquet, or was cut short, or the footer has a length that cannot be.
    """
    start = max(file.bytes - FOOTER_BYTES, 0)
    tail = _read_at(stream, start, file.bytes)
    if tail[-len(MAGIC) :] == ENCRYPTED:
        raise DataError(f"{file.uri} is an encrypted Parquet file, which pgpipe cannot read; write it unencrypted")
    if tail[-len(MAGIC) :] != MAGIC or file.bytes < 3 * len(MAGIC):
        if _read_at(stream, 0, len(MAGIC)) == MAGIC:
            raise DataError(f"{file.uri} is a Parquet file that was cut short; upload it again")
        raise DataError(f"{file.uri} is not a Parquet file")
    size = _size(tail) + 8
    if size > min(file.bytes - len(MAGIC), MOST_FOOTER):
        raise DataError(f"{file.uri} cannot be read: its footer claims a length of {size:,} bytes; upload it again")
    return tail if size <= len(tail) else _read_at(stream, file.bytes - size, file.bytes)


def _size(tail: bytes) -> int:
    return int.from_bytes(tail[-8:-4], "little")


def _read_at(stream: pa.NativeFile, start: int, end: int) -> bytes:
    stream.seek(start)
    return bytes(stream.read(end - start))


class named:  # noqa: N801 - a context manager, used like a function
    """Turn pyarrow's errors into ours, with the file's name."""

    def __init__(self, file: File) -> None:
        self._file = file

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(self, kind: object, exc: BaseException | None, trace: object) -> None:
        if isinstance(exc, UnicodeDecodeError):  # values are not decoded here
            name = repr(exc.object[: NAME_BYTES + 1])[1:]
            raise DataError(
                f"{self._file.uri} has a column whose name is not UTF-8: {name}; rename it at the source"
            ) from exc
        if isinstance(exc, pa.ArrowException | OSError) and not isinstance(exc, SourceError):
            raise DataError(f"{self._file.uri} cannot be read: {str(exc).splitlines()[0]}") from exc
