"""Field bytes of binary COPY that pgpq has no form of, made by numpy over whole columns: arrays, vectors, numbers."""

import numpy as np
import pyarrow as pa

from pgpipe.errors import BadValue
from pgpipe.load.rows.kernels import Array, Bytes, binary, lists, pc

UUID, TIMESTAMPTZ, NUMERIC = 2950, 1184, 1700  # pg_type.oid; an array states that of its elements
EPOCH = 946_684_800_000_000  # 2000-01-01, where PostgreSQL's time begins, in microseconds of Unix time
NULL = 0xFFFFFFFF  # the length of an element that is NULL
NUMERIC_DIGITS = 20  # of base 10000: enough for 76 decimal digits that are aligned to the point
NEGATIVE = 0x4000
LIMBS = 9  # of 32 bits: 256 of the number, and room to align it


def field(rows: Bytes, nulls: Bytes) -> Array:
    """One field of the same length a row: uint8 of shape (rows, bytes)."""
    count, width = rows.shape
    return binary(np.arange(count + 1) * width, rows, nulls, pa.binary())


def vectors(array: Array, *, half: bool) -> Array:
    """Lists of floats in the binary form of pgvector: their number, zero, then each, big-endian.

    Raises:
        BadValue: a component is NULL or not finite, which pgvector has no form of.
    """
    flat = array.flatten()
    with np.errstate(over="ignore"):
        numbers = flat.to_numpy(zero_copy_only=False).astype(np.float16 if half else np.float32)
    if flat.null_count or not np.isfinite(numbers).all():
        raise BadValue("a list with an element that is NULL or not finite, which a vector has not")
    lengths = _lengths(array)
    heads = np.stack([lengths, np.zeros_like(lengths)], axis=1).astype(">u2")
    units = numbers.astype(">f2" if half else ">f4").view(">u2")
    return _framed(heads, lengths if half else 2 * lengths, units, _nulls(array))


def arrays(element: int, array: Array, elements: Bytes) -> Array:
    """Lists in the binary form of one-dimensional arrays: dimensions, nulls, element type, size, first index, elements.

    Args:
        element: the oid of the elements' type.
        array: the lists.
        elements: the field bytes of all their elements, uint8 of shape (elements, a multiple of 4).
    """
    absent = _nulls(array.flatten())
    count, width = elements.shape
    words = np.empty((count, 1 + width // 4), ">u4")
    words[:, 0] = np.where(absent, NULL, width)
    words[:, 1:] = np.ascontiguousarray(elements).view(">u4")
    sent = np.ones(words.shape, bool)
    sent[absent, 1:] = False  # of a NULL only its length
    lengths = _lengths(array)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    sizes = np.concatenate([[0], np.cumsum(sent.sum(axis=1))])
    holes = np.concatenate([[0], np.cumsum(absent)])
    heads = np.empty((len(array), 5), ">u4")
    heads[:] = 1, 0, element, 0, 1
    heads[:, 1] = np.diff(holes[ends]) > 0
    heads[:, 3] = lengths
    return _framed(heads, np.diff(sizes[ends]), words[sent], _nulls(array))


def framed(element: int, array: Array, elements: Array) -> Array:
    """As `arrays`, of elements of any length.

    Args:
        element: the oid of the elements' type.
        array: the lists.
        elements: all their elements, as texts or field bytes.
    """
    plain = elements.cast(pa.binary())
    sizes = pc.binary_length(plain).fill_null(0).to_numpy().astype(">u4")
    heads = field(sizes.view(np.uint8).reshape(-1, 4), np.zeros(len(plain), bool))
    sent = pc.binary_join_element_wise(heads, plain, b"").fill_null(NULL.to_bytes(4, "big"))
    lengths = _lengths(array)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    holes = np.concatenate([[0], np.cumsum(_nulls(plain))])
    fronts = np.empty((len(array), 5), ">u4")
    fronts[:] = 1, 0, element, 0, 1
    fronts[:, 1] = np.diff(holes[ends]) > 0
    fronts[:, 3] = lengths
    front = field(fronts.view(np.uint8).reshape(-1, 20), _nulls(array))
    return pc.binary_join_element_wise(front, pc.binary_join(lists(array, sent), b""), b"")


def numerics(array: Array) -> Bytes:
    """Decimals of 256 bits in the binary form of numeric, all of the same length: uint8 of shape (rows, bytes).

    The digits are those of base 10000, zeros in front included, which PostgreSQL strips.
    """
    scale = array.type.scale
    count = len(array)
    raw = np.frombuffer(array.buffers()[1], np.uint32)[8 * array.offset : 8 * (array.offset + count)].reshape(-1, 8)
    limbs = np.zeros((count, LIMBS), np.uint64)
    limbs[:, :8] = raw
    negative = raw[:, 7] >> 31 == 1
    limbs[negative, :8] = _negated(limbs[negative, :8])
    behind = -(-scale // 4)  # digits of base 10000 behind the point
    _multiply(limbs, 10 ** (4 * behind - scale))
    words = np.empty((count, 4 + NUMERIC_DIGITS), ">u2")
    words[:, :4] = NUMERIC_DIGITS, (NUMERIC_DIGITS - 1 - behind) & 0xFFFF, 0, max(scale, 0)
    words[:, 2] = np.where(negative, NEGATIVE, 0)
    for place in range(3 + NUMERIC_DIGITS, 3, -1):
        words[:, place] = _divide(limbs, 10000)
    return words.view(np.uint8)


def moments(micro: Array) -> Bytes:
    """Microseconds of Unix time in the binary form of a timestamp: uint8 of shape (rows, 8)."""
    return (micro.fill_null(EPOCH).to_numpy() - EPOCH).astype(">i8").view(np.uint8).reshape(-1, 8)


def fixed(array: Array) -> Bytes:
    """The bytes of a fixed-size binary array: uint8 of shape (rows, bytes); zeros where it is NULL."""
    width = array.type.byte_width
    whole = array.fill_null(bytes(width)) if array.null_count else array
    bytes_ = np.frombuffer(whole.buffers()[1], np.uint8)
    return bytes_[width * whole.offset : width * (whole.offset + len(whole))].reshape(-1, width)


def _negated(limbs: Bytes) -> Bytes:
    """Two's complement, limb by limb."""
    flipped = limbs ^ 0xFFFFFFFF
    carry = np.ones(len(limbs), np.uint64)
    for place in range(limbs.shape[1]):
        total = flipped[:, place] + carry
        flipped[:, place], carry = total & 0xFFFFFFFF, total >> 32
    return flipped


def _multiply(limbs: Bytes, factor: int) -> None:
    carry = np.zeros(len(limbs), np.uint64)
    for place in range(limbs.shape[1] if factor != 1 else 0):
        total = limbs[:, place] * np.uint64(factor) + carry
        limbs[:, place], carry = total & 0xFFFFFFFF, total >> 32


def _divide(limbs: Bytes, divisor: int) -> Bytes:
    """Divide in place; returns the remainders."""
    rest = np.zeros(len(limbs), np.uint64)
    for place in range(limbs.shape[1] - 1, -1, -1):
        limbs[:, place], rest = np.divmod((rest << np.uint64(32)) | limbs[:, place], np.uint64(divisor))
    return rest


def _framed(heads: Bytes, lengths: Bytes, units: Bytes, nulls: Bytes) -> Array:
    """Each row's head, then as many of the units as it has; all of one word size."""
    width = heads.shape[1]
    ends = np.concatenate([[0], np.cumsum(width + lengths)])
    at = ends[:-1, None] + np.arange(width)
    rest = np.ones(ends[-1], bool)
    rest[at] = False
    out = np.empty(ends[-1], heads.dtype)
    out[at], out[rest] = heads, units
    return binary(ends * heads.itemsize, out, nulls, pa.binary())


def _lengths(array: Array) -> Bytes:
    return pc.list_value_length(array).fill_null(0).to_numpy().astype(np.int64)


def _nulls(array: Array) -> Bytes:
    return array.is_null().to_numpy(zero_copy_only=False)
