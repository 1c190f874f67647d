"""Bad values: what happens to a value that cannot be stored, as its column says. A column without one pays nothing."""

import json
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as at

from pgpipe.errors import BadValue, DataError
from pgpipe.load import jsontext, types
from pgpipe.load.convert import convert, converter
from pgpipe.load.kernels import Array, nulls, pc, types_removed
from pgpipe.load.preflight import Column
from pgpipe.load.read import Batch, Piece, Unit, where

Faults = dict[int, str]  # row → reason
Reasons = dict[int, tuple[str | None, str]]  # row → column and reason

ROW_BYTES = 1 << 20  # of a rejected row kept as JSON; of a larger one its place and key alone
KEPT_BYTES = 64 << 20  # of all rejected rows of a load
NUL_SIGN, NUL_ESCAPE = "\N{SYMBOL FOR NULL}", re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


def bad_row(unit: Unit, row: int, column: str | None, reason: str) -> DataError:
    """The error that names a row of a row group."""
    return DataError(f"{where(unit)}, row {row}{f', column {column!r}' if column else ''}: {reason}")


@dataclass(frozen=True)
class Rejected:
    """A row that is not loaded, and why."""

    unit: Unit
    number: int  # of the row within its row group, from 0
    column: str | None
    reason: str
    key: str | None  # JSON
    row: str | None  # JSON

    def as_json(self) -> str:
        """As pgpipe.reject_rows reads it."""
        file = self.unit.part.file
        head = {"file": file.uri, "etag": file.etag, "row_group": self.unit.group, "row_number": self.number}
        told = json.dumps(head | {"column_name": self.column, "reason": self.reason})
        return f'{told[:-1]},"key":{self.key or "null"},"row":{self.row or "null"}}}'


@dataclass
class Rejects:
    """The rows that a load sets aside; its connections share it. A row that is read twice is set aside once."""

    key: tuple[str, ...] = ()
    limit: int = 0
    known: dict[tuple[str, int], Reasons] = field(default_factory=dict)  # by file and group
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
            self._mended[piece.unit.part.file.uri, piece.unit.group, piece.first] = values

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
        """Set rows of a piece aside.

        Raises:
            DataError: they are more than may be.
        """
        numbers = sorted(reasons)
        chosen = _printable(piece.rows.take(pa.array(numbers)))
        keys = _objects(chosen, [name for name in self.key if name in chosen.schema.names])
        rows = _objects(chosen, chosen.schema.names)
        file = piece.unit.part.file
        with self._lock:
            for number, key, row in zip(numbers, keys, rows, strict=True):
                self._bytes += len(row)
                small = len(row) <= ROW_BYTES and self._bytes <= KEPT_BYTES
                at_row, why = piece.first + number, reasons[number]
                rejected = Rejected(piece.unit, at_row, *why, key if self.key else None, row if small else None)
                self._files.setdefault(file.uri, {})[piece.unit.group, at_row] = rejected
            if self.count > self.limit:
                column, reason = reasons[numbers[0]]
                limit = f"more than max_rejected = {self.limit:,} rows of this load are bad"
                raise bad_row(piece.unit, piece.first + numbers[0], column, f"{reason}; {limit}")


def to_wire(batch: Batch, columns: list[Column], rejects: Rejects) -> tuple[Batch, pa.RecordBatch]:
    """The rows of a batch with the target's columns in the form they travel in; a column that is missing is NULL.

    Returns:
        The pieces without what was rejected, and their rows in that form.

    Raises:
        DataError: a bad value in a column whose policy is `error`, or too many rejected rows; it names file, row group,
            row and column.
    """
    if not any((piece.unit.part.file.uri, piece.unit.group) in rejects.known for piece in batch):
        try:
            return batch, _wire(_joined(batch), columns)
        except BadValue:
            pass  # which one, and what is to be done, is found below
    good = [rest for piece in batch for rest in _good(piece, columns, rejects)]
    return good, _wire(_joined(good or [replace(batch[0], rows=batch[0].rows.slice(0, 0))]), columns)


def _joined(batch: Batch) -> pa.RecordBatch:
    if len(batch) == 1:
        return batch[0].rows
    table = pa.Table.from_batches([piece.rows for piece in batch]).combine_chunks()
    return table.to_batches()[0] if table.num_rows else batch[0].rows


def _good(piece: Piece, columns: list[Column], rejects: Rejects) -> Batch:
    """The rows of a piece that are loaded, mended where that is the policy, as runs of neighbours."""
    known = rejects.known.get((piece.unit.part.file.uri, piece.unit.group), {})
    reasons = {row - piece.first: why for row, why in known.items() if 0 <= row - piece.first < piece.rows.num_rows}
    rows, found, mended = _mended(piece, columns)
    reasons |= found
    if mended:
        rejects.mend(piece, mended)
    if reasons:
        rejects.add(piece, reasons)
    ends = [-1, *sorted(reasons), rows.num_rows]
    runs = [(a + 1, b - a - 1) for a, b in pairwise(ends) if b - a > 1]
    return [Piece(piece.unit, piece.first + start, rows.slice(start, count)) for start, count in runs]


def _wire(batch: pa.RecordBatch, columns: list[Column]) -> pa.RecordBatch:
    names = set(batch.schema.names)
    arrays: list[Any] = [
        strict(batch.column(c.name), c) if c.name in names else nulls(batch.num_rows, converter(c.sent, pa.null()))
        for c in columns
    ]
    return pa.RecordBatch.from_arrays(arrays, [c.name for c in columns])


def strict(array: Array, column: Column) -> Array:
    """The values in the form they travel in.

    Raises:
        BadValue: one of them cannot be stored.
    """
    if column.required and array.null_count:
        raise BadValue("NULL, and the column is NOT NULL")
    wire = convert(array, column.sent)
    if column.labels and not pc.all(pc.is_in(wire.drop_null(), pa.array(column.labels)), min_count=0).as_py():
        raise BadValue(f"a text that is no label of {column.sql}")
    if column.careful:
        _check_carefully(array, wire, column)
    return wire


def _check_carefully(array: Array, wire: Array, column: Column) -> None:
    """What only the server tells otherwise: too slow to do unless it has told."""
    if column.sent in {"json", "jsonb"}:
        skipped = column.sent == "jsonb"
        for value in wire.cast(pa.binary()).to_pylist():
            if value is not None and (fault := _json_fault(value[skipped:], column.sent)):
                raise BadValue(fault)
    elif at.is_decimal(types.storage(array.type)):
        try:
            types_removed(array).validate(full=True)
        except pa.ArrowInvalid as exc:
            raise BadValue(f"a number of more digits than {array.type} has") from exc


def _json_fault(text: bytes, sql: str) -> str | None:
    try:
        value = json.loads(text.decode())
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        return "JSON with half of a surrogate pair, or with bytes that are not UTF-8"
    except ValueError:
        return "text that is not JSON"
    if sql == "jsonb" and NUL_ESCAPE.search(text):
        return "JSON with a NUL character, which jsonb cannot hold"
    return None


def _mended(piece: Piece, columns: list[Column]) -> tuple[pa.RecordBatch, Reasons, int]:
    """Strip and clear what may be; also returns what has to be rejected, and how many values were mended."""
    rows, mended = piece.rows, 0
    rejected: Reasons = {}
    for column in columns:
        if column.name not in rows.schema.names:
            continue
        array = rows.column(column.name)
        faults = find(array, column)
        if faults and column.bad == "reject":
            rejected = {row: (column.name, reason) for row, reason in faults.items()} | rejected
        elif faults:
            array = _without(array, faults, column)
            mended += len(faults)
            faults = find(array, column) if column.bad != "error" else faults
            if faults:
                raise bad_row(piece.unit, piece.first + min(faults), column.name, faults[min(faults)])
            rows = rows.set_column(rows.schema.names.index(column.name), column.name, array)
    return rows, rejected, mended


def _without(array: Array, faults: Faults, column: Column) -> Array:
    if column.bad == "strip":
        return _stripped(array, faults, json_text=column.sent in {"json", "jsonb"})
    return _cleared(array, faults) if column.bad == "null" else array


def find(array: Array, column: Column) -> Faults:
    """The rows whose value cannot be stored, and why: halves of the column are tried until each stands alone."""
    faults: Faults = {}
    spans = [(0, len(array))]
    while spans:
        start, count = spans.pop()
        try:
            strict(array.slice(start, count), column)
        except BadValue as exc:
            if count == 1:
                faults[start] = str(exc)
            else:
                spans += [(start, count // 2), (start + count // 2, count - count // 2)]
    return faults


def _cleared(array: Array, faults: Iterable[int]) -> Array:
    mask = np.zeros(len(array), bool)
    mask[list(faults)] = True
    return array.take(pa.array(np.arange(len(array)), mask=mask))


def _stripped(array: Array, faults: Iterable[int], *, json_text: bool) -> Array:
    """Texts without NUL characters and without bytes that are not UTF-8; in JSON a NUL is written as an escape."""
    values = types_removed(array).cast(pa.large_binary()).to_pylist()
    for row in faults:
        if values[row] is not None:
            clean = values[row].decode("utf-8", "ignore").replace("\0", "").encode()
            values[row] = NUL_ESCAPE.sub(rb"\1", clean) if json_text else clean
    return pa.array(values, pa.large_binary()).cast(pa.large_string())


def _printable(batch: pa.RecordBatch) -> pa.RecordBatch:
    """With values that JSON and PostgreSQL can hold."""
    return pa.RecordBatch.from_arrays([_printable_array(array) for array in batch.columns], batch.schema.names)


def _printable_array(array: Array) -> Array:
    """A sign for a NUL or a wrong byte in a text, a date of no calendar as Arrow writes it, else NULL."""
    if types.is_text(array.type):
        plain = types_removed(array).cast(pa.large_binary()).to_pylist()
        return pa.array([None if value is None else _shown(value) for value in plain], pa.large_string())
    try:
        jsontext.json_text(array)
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
    found = jsontext.json_text(struct).cast(pa.binary()).to_pylist()
    return [_shown(NUL_ESCAPE.sub(rb"\1" + NUL_SIGN.encode(), text)) for text in found]
