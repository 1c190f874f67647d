"""Arrow and numpy side by side: arrays out of numpy's buffers, lists of the same shape, storage without wrappings."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.types as at

Array = Any  # an Arrow array; pyarrow's stubs do not know what a type check tells of one
Bytes = Any  # a numpy array of whole numbers
LARGE = 1 << 30  # bytes of an array whose offsets may need 64 bits
pc: Any = pyarrow.compute  # its stubs know neither all functions nor which arrays they take


def nulls(count: int, kind: pa.DataType) -> Array:
    """So many NULLs."""
    make: Any = pa.nulls
    return make(count, kind)


def binary(ends: Bytes, content: Bytes, absent: Bytes, kind: pa.DataType) -> Array:
    """An array of binary or string type.

    Args:
        ends: where each value ends in the content, after a first 0.
        content: the values one after the other.
        absent: which of them are NULL.
        kind: its type, with offsets of 32 bits.
    """
    valid = pa.array(~absent).buffers()[1] if absent.any() else None
    data: Any = np.ascontiguousarray(content)
    offsets: Any = ends.astype(np.int32)
    return pa.Array.from_buffers(kind, len(absent), [valid, pa.py_buffer(offsets), pa.py_buffer(data)])


def lists(shape: Array, elements: Array) -> Array:
    """Lists of the same lengths and NULLs as those of `shape`, with other elements."""
    lengths = pc.list_value_length(shape).fill_null(0).to_numpy()
    ends: Any = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    return pa.ListArray.from_arrays(ends, elements, mask=shape.is_null() if shape.null_count else None)


def types_removed(array: Array) -> Array:
    """Without extension type, dictionary, runs and view."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage.cast(pa.bool_()) if isinstance(array.type, pa.Bool8Type) else array.storage
    kind = array.type
    if at.is_dictionary(kind):
        return types_removed(array.dictionary.take(array.indices))
    if at.is_run_end_encoded(kind):
        return types_removed(pc.run_end_decode(array))
    if at.is_string_view(kind):
        return array.cast(pa.large_string() if array.nbytes > LARGE else pa.string())
    if at.is_binary_view(kind):
        return array.cast(pa.large_binary() if array.nbytes > LARGE else pa.binary())
    if at.is_list_view(kind) or at.is_large_list_view(kind):
        return lists(array, array.flatten())  # a cast fails where such arrays were joined
    return array


def at_leaves(array: Array, change: Callable[[Array], Array]) -> Array:
    """The same values with the scalars at every depth changed; dictionaries and views become plain on the way."""
    array = types_removed(array)
    kind = array.type
    if at.is_struct(kind) and kind.num_fields:
        fields = [at_leaves(array.field(number), change) for number in range(kind.num_fields)]
        names = [field.name for field in kind]
        return pa.StructArray.from_arrays(fields, names, mask=array.is_null() if array.null_count else None)
    if at.is_map(kind):
        entries = array.cast(pa.list_(pa.struct([kind.key_field.with_nullable(True), kind.item_field])))
        listed = at_leaves(entries, change)
        pairs = listed.flatten()
        mask = listed.is_null() if listed.null_count else None
        return pa.MapArray.from_arrays(listed.offsets, pairs.field(0), pairs.field(1), mask=mask)
    if at.is_nested(kind) and not at.is_struct(kind):
        return lists(array, at_leaves(array.flatten(), change))
    return change(array)
