"""The values of a column in the form they travel in; one that cannot be stored is refused."""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pyarrow.types as at

from pgpipe.db.encoding import lacking
from pgpipe.errors import BadValue
from pgpipe.load import fit, types
from pgpipe.load.kinds import Kind
from pgpipe.load.plan.parts import Column
from pgpipe.load.rows import binary_fields, json_text
from pgpipe.load.rows.convert import convert, converter
from pgpipe.load.rows.kernels import Array, at_leaves, nulls, pc, types_removed
from pgpipe.load.rows.rejects import NUL_ESCAPE

INDEXED = 2704  # bytes of a row that a btree index takes


def strict(array: Array, column: Column) -> Array:
    """The values in the form they travel in.

    Raises:
        BadValue: one of them cannot be stored.
    """
    if column.required and array.null_count:
        raise BadValue("NULL, and the column is NOT NULL")
    wire = _travelling(array, column)
    if column.most and wire.nbytes > column.most:
        _check_size(wire, column.most)
    if column.indexed:
        _check_indexed(wire)
    return wire


def _travelling(array: Array, column: Column) -> Array:
    kind = column.kind
    if kind and kind.element and _holds_nothing(array, column):
        plain = types_removed(array)
        return binary_fields.framed(kind.element, plain, nulls(len(plain.flatten()), pa.binary()))
    if kind and kind.element and at.is_nested(array.type) and (column.read or fit.is_stated(kind)):
        return _array(types_removed(array), column, kind)
    if column.read and kind and fit.is_read(types.sql_type(array.type) or "", kind.base):
        return _read(array, column, kind)
    wire = convert(array, column.sent)
    if column.labels and not _are_labels(wire, column.labels):
        raise BadValue(f"a text that is not a label of {column.sql}")
    if column.careful:
        _check_carefully(array, wire, column)
    return wire


def _holds_nothing(array: Array, column: Column) -> bool:
    """Whether the lists have no element but NULL, and travel as ready-made field bytes."""
    item = getattr(types.storage(array.type), "value_type", None)
    return item is not None and at.is_null(item) and converter(column.sent, array.type) == pa.binary()


def _are_labels(wire: Array, labels: Sequence[str]) -> bool:
    """Whether all texts are labels of an enum; also those of an array."""
    while at.is_nested(wire.type):
        wire = wire.flatten()
    return bool(pc.all(pc.is_in(wire.drop_null(), pa.array(labels)), min_count=0).as_py())


def _array(array: Array, column: Column, kind: Kind) -> Array:
    """Arrays whose binary form states the type of their elements, each of which travels as it does alone."""
    below = replace(kind, base=kind.base.removesuffix("[]"), element=0)
    item = replace(column, kind=below, required=False, most=0)
    return binary_fields.framed(kind.element, array, _travelling(array.flatten(), item))


def _read(array: Array, column: Column, kind: Kind) -> Array:
    """Values that the input function of their type reads: texts, or well-known binary as hexadecimal text."""
    if types.is_text(array.type):
        texts = convert(array, "text")
    else:
        texts = json_text.hexadecimal(types_removed(array).cast(pa.binary()))
    assert column.reader
    return column.reader(texts, kind.reads)


def _check_size(wire: Array, most: int) -> None:
    for row in range(len(wire)):
        size = wire.slice(row, 1).nbytes
        if size > most:
            raise BadValue(f"a value of {size:,} bytes; max_value_mb = {most >> 20} is less")


def _check_indexed(wire: Array) -> None:
    """A longer value may fit once it is compressed; this is asked only after the server has refused one."""
    if not (types.is_text(wire.type) or at.is_binary(wire.type) or at.is_large_binary(wire.type)):
        return
    longest = pc.max(pc.binary_length(wire)).as_py() or 0
    if longest > INDEXED:
        raise BadValue(f"a value of {longest:,} bytes, and an index on this column takes {INDEXED:,}")


def _check_carefully(array: Array, wire: Array, column: Column) -> None:
    """What otherwise only the server finds: too slow, unless it has refused a row."""
    if column.sent in {"json", "jsonb"}:
        skipped = column.sent == "jsonb"
        for value in wire.cast(pa.binary()).to_pylist():
            if value is not None and (fault := _json_fault(value[skipped:], column)):
                raise BadValue(fault)
    elif column.codec:
        at_leaves(array, partial(_require_held, codec=column.codec))
    elif at.is_decimal(types.storage(array.type)):
        try:
            types_removed(array).validate(full=True)
        except pa.ArrowInvalid as exc:
            raise BadValue(f"a number of more digits than {array.type} has") from exc


def _require_held(array: Array, codec: str) -> Array:
    for value in array.to_pylist() if types.is_text(array.type) else []:
        if value is not None:
            try:
                value.encode(codec)
            except UnicodeEncodeError as exc:
                raise BadValue(_not_held(exc)) from None
    return array


def _not_held(exc: UnicodeEncodeError) -> str:
    return f"a text with the character {lacking(exc.object[exc.start])}, which is not in the encoding of this database"


def _json_fault(text: bytes, column: Column) -> str | None:
    sql = column.sent
    try:
        value = json.loads(text.decode())
        plain = json.dumps(value, ensure_ascii=False)
        plain.encode()
        (plain if sql == "jsonb" else text.decode()).encode(column.codec or "utf-8")
    except UnicodeEncodeError as exc:
        if exc.encoding != "utf-8":
            return _not_held(exc)
        return "JSON with half of a surrogate pair, or with bytes that are not UTF-8"
    except UnicodeError:
        return "JSON with half of a surrogate pair, or with bytes that are not UTF-8"
    except ValueError:
        return "text that is not JSON"
    if sql == "jsonb" and NUL_ESCAPE.search(text):
        return "JSON with a NUL character, which jsonb cannot hold"
    return None
