"""The rows that a load rejects: where they stood, why, and what of them is kept."""

import json
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.types as at

from pgpipe.errors import BadValue, DataError
from pgpipe.load import types
from pgpipe.load.plan.parts import RowGroup
from pgpipe.load.rows import json_text
from pgpipe.load.rows.kernels import Array, nulls, types_removed
from pgpipe.load.rows.read import Piece, where

Reasons = dict[int, tuple[str | None, str]]  # row → column and reason
Known = Mapping[tuple[str, int], Reasons]  # by file and row group

ROW_BYTES = 1 << 20  # of a rejected row kept as JSON; of a larger one its place and key alone
KEPT_BYTES = 64 << 20  # of all rejected rows of a load
NUL_SIGN, NUL_ESCAPE = "\N{SYMBOL FOR NULL}", re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def bad_row(group: RowGroup, row: int, column: str | None, reason: str) -> DataError:
    """The error that names a row of a row group."""
    return DataError(f"{where(group)}, row {row}{f', column {column!r}' if column else ''}: {reason}")


@dataclass(frozen=True)
class Rejected:
    """A row that is not loaded, and why."""

    group: RowGroup
    number: int  # of the row within its row group, from 0
    column: str | None
    reason: str
    key: str | None  # JSON
    row: str | None  # JSON

    def as_json(self) -> str:
        """As pgpipe_internal.reject_rows reads it."""
        file = self.group.part.file
        head = {"file": file.uri, "etag": file.identity, "row_group": self.group.number, "row_number": self.number}
        fields = json.dumps(head | {"column_name": self.column, "reason": self.reason})
        return f'{fields[:-1]},"key":{self.key or "null"},"row":{self.row or "null"}}}'


@dataclass
class Rejects:
    """The rows that a load rejects; its connections share it. A row that is read twice is rejected once."""

    key: tuple[str, ...] = ()
    limit: int = 0
    _files: dict[str, dict[tuple[int, int], Rejected]] = field(default_factory=dict)  # by group and row
    _mended: dict[tuple[str, int, int], int] = field(default_factory=dict)  # values stripped or cleared, by piece
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _bytes: int = 0

    @property
    def count(self) -> int:
        """How many there are."""
        return sum(map(len, self._files.values()))

    @property
    def mended(self) -> int:
        """How many values were stripped or cleared."""
        return sum(self._mended.values())

    def mend(self, piece: Piece, values: int) -> None:
        """Count values of a piece that were stripped or cleared."""
        with self._lock:
            self._mended[*piece.group.place, piece.first] = values

    def of(self, uri: str) -> list[Rejected]:
        """Those of a file, in their order in it."""
        with self._lock:
            found = self._files.get(uri, {})
            return [found[place] for place in sorted(found)]

    @property
    def keys(self) -> str:
        """The keys of all of them, as a JSON array."""
        keys = (row.key for rows in self._files.values() for row in rows.values() if row.key)
        return f"[{','.join(keys)}]"

    def add(self, piece: Piece, reasons: Reasons) -> None:
        """Reject rows of a piece.

        Raises:
            DataError: they are more than may be.
        """
        numbers = sorted(reasons)
        # Not every type can be taken from by number.
        one_by_one = pa.Table.from_batches([piece.rows.slice(number, 1) for number in numbers]).combine_chunks()
        chosen = _printable(one_by_one.to_batches()[0])
        keys = _objects(chosen, [name for name in self.key if name in chosen.schema.names])
        rows = _objects(chosen, chosen.schema.names)
        file = piece.group.part.file
        with self._lock:
            for number, key, row in zip(numbers, keys, rows, strict=True):
                self._bytes += len(row)
                small = len(row) <= ROW_BYTES and self._bytes <= KEPT_BYTES
                at_row, why = piece.first + number, reasons[number]
                rejected = Rejected(piece.group, at_row, *why, key if self.key else None, row if small else None)
                self._files.setdefault(file.uri, {})[piece.group.number, at_row] = rejected
            if self.count > self.limit:
                column, reason = reasons[numbers[0]]
                limit = f"more than max_rejected = {self.limit:,} rows of this load are bad"
                raise bad_row(piece.group, piece.first + numbers[0], column, f"{reason}; {limit}")


def _printable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """With values that JSON and PostgreSQL can hold."""
    return pa.RecordBatch.from_arrays([_printable_array(array) for array in batch.columns], batch.schema.names)


def _printable_array(array: Array) -> Array:
    """A sign for a NUL or a wrong byte in a text, a date of no calendar as Arrow writes it, else NULL."""
    if types.is_text(array.type):
        plain = types_removed(array).cast(pa.large_binary()).to_pylist()
        return pa.array([None if value is None else _shown(value) for value in plain], pa.large_string())
    try:
        json_text.json_text(array)
    except (BadValue, pa.ArrowException):
        return array.cast(pa.string()) if at.is_temporal(array.type) else nulls(len(array), pa.string())
    return array


def _shown(value: bytes) -> str:
    return value.decode("utf-8", "replace").replace("\0", NUL_SIGN)


def _objects(batch: pa.RecordBatch, names: list[str]) -> list[str]:
    """Each row as a JSON object of these columns."""
    if not names:
        return ["{}"] * batch.num_rows
    struct = pa.StructArray.from_arrays([batch.column(name) for name in names], names)
    found = json_text.json_text(struct).cast(pa.binary()).to_pylist()
    return [_shown(NUL_ESCAPE.sub(rb"\1" + NUL_SIGN.encode(), text)) for text in found]
