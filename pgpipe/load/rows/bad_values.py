"""Bad values: what happens to a value that cannot be stored, as its column says. A column without one pays nothing."""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.types as at

from pgpipe.errors import BadValue
from pgpipe.load import types
from pgpipe.load.plan.parts import Column
from pgpipe.load.rows.convert import converter
from pgpipe.load.rows.kernels import Array, at_leaves, nulls, pc, types_removed
from pgpipe.load.rows.read import Batch, Piece
from pgpipe.load.rows.rejects import NUL_ESCAPE, Known, Reasons, Rejects, bad_row
from pgpipe.load.rows.strict import strict

Faults = dict[int, str]  # row → reason


def to_wire(batch: Batch, columns: Sequence[Column], known: Known, rejects: Rejects) -> tuple[Batch, pa.RecordBatch]:
    """The rows of a batch with the target's columns in the form they travel in; a column that is missing is NULL.

    `known` are rows that the server refuses; they join `rejects`.

    Returns:
        The pieces without what was rejected, and their rows in that form.

    Raises:
        DataError: a bad value in a column whose policy is `error`, or too many rejected rows; it names file, row group,
            row and column.
    """
    rows = _joined(batch)
    starts = [0, *accumulate(piece.rows.num_rows for piece in batch)]
    reasons: Reasons = {}  # by the row of the batch
    mended: list[int] = []
    arrays: list[Any] = []
    for column in columns:
        lacking = column.name not in rows.schema.names
        if lacking and not column.required:
            arrays.append(nulls(rows.num_rows, converter(column.sent, pa.null())))
            continue
        array = pa.nulls(rows.num_rows) if lacking else rows.column(column.name)
        try:
            arrays.append(strict(array, column))
        except BadValue:
            wire, faults, left = _mended(array, column)
            if left:
                piece, row = _place(batch, starts, min(left))
                raise bad_row(piece.group, piece.first + row, column.name, left[min(left)]) from None
            if column.bad == "reject":
                reasons = {row: (column.name, reason) for row, reason in faults.items()} | reasons
            else:
                mended += faults
            arrays.append(wire)
    wire_rows = pa.RecordBatch.from_arrays(arrays, [c.name for c in columns])
    refused = _refused(batch, starts, known)
    if not (reasons or mended or refused):
        return batch, wire_rows
    return _settled(batch, starts, refused | reasons, mended, rejects, wire_rows)


def _joined(batch: Batch) -> pa.RecordBatch:
    if len(batch) == 1:
        return batch[0].rows
    table = pa.Table.from_batches([piece.rows for piece in batch]).combine_chunks()
    return table.to_batches()[0] if table.num_rows else batch[0].rows


def _place(batch: Batch, starts: list[int], row: int) -> tuple[Piece, int]:
    """The piece that a row of the batch is in, and its number there."""
    number = bisect_right(starts, row) - 1
    return batch[number], row - starts[number]


def _refused(batch: Batch, starts: list[int], known: Known) -> Reasons:
    """The rows of the batch that the server is known to refuse."""
    found: Reasons = {}
    for piece, start in zip(batch, starts, strict=False):
        for row, why in known.get(piece.group.place, {}).items():
            if piece.first <= row < piece.first + piece.rows.num_rows:
                found[start + row - piece.first] = why
    return found


def _settled(
    batch: Batch, starts: list[int], reasons: Reasons, mended: list[int], rejects: Rejects, wire: pa.RecordBatch
) -> tuple[Batch, pa.RecordBatch]:
    """Reject rows, count what was mended; what is left of the batch, as runs of neighbours, and of the rows."""
    good: Batch = []
    for piece, (start, end) in zip(batch, pairwise(starts), strict=True):
        inside = {row - start: why for row, why in reasons.items() if start <= row < end}
        if inside:
            rejects.add(piece, inside)
        rejects.mend(piece, sum(start <= row < end for row in mended))
        ends = [-1, *sorted(inside), piece.rows.num_rows]
        runs = [(a + 1, b - a - 1) for a, b in pairwise(ends) if b - a > 1]
        good += [Piece(piece.group, piece.first + first, piece.rows.slice(first, count)) for first, count in runs]
    kept = np.ones(wire.num_rows, bool)
    kept[list(reasons)] = False
    return good, wire.filter(pa.array(kept)) if reasons else wire


def _mended(array: Array, column: Column) -> tuple[Array, Faults, Faults]:
    """The column without its bad values in the form it travels in, which they were, and which are left."""
    faults = find(array, column)
    if column.bad == "error":
        return None, faults, faults
    if column.bad == "strip":
        array = _stripped(array, faults, json_text=column.sent in {"json", "jsonb"}, codec=column.codec)
    else:
        array = clear(array, faults)
    lenient = replace(column, required=column.required and column.bad != "reject")  # those rows are not sent
    try:
        return strict(array, lenient), faults, {}
    except BadValue:
        return None, faults, find(array, lenient)


def find(array: Array, column: Column) -> Faults:
    """The rows whose value cannot be stored, and why: halves of the column are tried until each stands alone."""
    suspects = _bad_texts(array) if types.is_text(array.type) else []
    faults = {row: reason for row in suspects if (reason := _reason(array.slice(row, 1), column))}
    if faults:
        array = clear(array, faults)
    spans = [(0, len(array))]
    while spans:
        start, count = spans.pop()
        reason = _reason(array.slice(start, count), column)
        if reason and count > 1:
            spans += [(start, count // 2), (start + count // 2, count - count // 2)]
        elif reason:
            faults.setdefault(start, reason)  # what was cleared may be NULL where it must not
    return faults


def _reason(array: Array, column: Column) -> str | None:
    try:
        strict(array, column)
    except BadValue as exc:
        return str(exc)
    return None


def _bad_texts(array: Array) -> list[int]:
    """The texts with a NUL or with bytes that are not UTF-8, in one pass: they are the most common bad values."""
    plain = types_removed(array)
    values = plain.cast(pa.large_binary())
    found: list[int] = pc.indices_nonzero(pc.match_substring(values, "\0")).to_pylist()
    try:
        plain.validate(full=True)
    except pa.ArrowInvalid:
        found += [row for row, value in enumerate(values.to_pylist()) if value is not None and not _is_utf8(value)]
    return found


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def clear(array: Array, faults: Iterable[int]) -> Array:
    """NULL in these rows. Cut and joined: not every type can be taken from by number."""
    ends = [-1, *sorted(faults), len(array)]
    nothing = nulls(1, array.type)
    parts = [part for a, b in pairwise(ends) for part in (array.slice(a + 1, b - a - 1), nothing)][:-1]
    return pa.concat_arrays(parts)


def _stripped(array: Array, faults: Iterable[int], *, json_text: bool, codec: str | None) -> Array:
    """Texts without NULs, bytes that are not UTF-8 and what the database lacks; in JSON a NUL is an escape."""
    if at.is_nested(types.storage(array.type)):
        return at_leaves(array, partial(_without_nul, codec=codec))
    values = types_removed(array).cast(pa.large_binary()).to_pylist()
    for row in faults:
        if values[row] is not None:
            clean = _clean(values[row], codec).encode()
            values[row] = NUL_ESCAPE.sub(rb"\1", clean) if json_text else clean
    return pa.array(values, pa.large_binary()).cast(pa.large_string())


def _clean(value: bytes, codec: str | None) -> str:
    text = value.decode("utf-8", "ignore").replace("\0", "")
    return text if codec is None else text.encode(codec, "ignore").decode(codec)


def _without_nul(array: Array, codec: str | None) -> Array:
    """The texts within nested values, cleaned as those of a column."""
    if not types.is_text(array.type):
        return array
    values = array.cast(pa.large_binary()).to_pylist()
    clean = [None if v is None else _clean(v, codec) for v in values]
    return pa.array(clean, pa.large_string())
