"""Field bytes made by numpy, read back as PostgreSQL reads them."""

import struct
from decimal import Context, Decimal

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pgpipe.load.rows import binary_fields

EXACT = Context(prec=120)


def read_numeric(field: bytes) -> tuple[Decimal, int]:
    """The value and the scale of a numeric in its binary form."""
    count, weight, sign, scale = struct.unpack(">HhHH", field[:8])
    digits = struct.unpack(f">{count}H", field[8:])
    assert all(digit < 10_000 for digit in digits)
    total = Decimal(sum(digit * 10_000 ** (count - 1 - n) for n, digit in enumerate(digits)))
    total = total.scaleb(4 * (weight - count + 1), EXACT)
    return total.copy_negate() if sign == binary_fields.NEGATIVE else total, scale


@given(
    st.lists(st.none() | st.integers(-(10**76) + 1, 10**76 - 1), min_size=1, max_size=6),
    st.integers(0, 76),
    st.integers(0, 5),
)
@settings(deadline=None)
def test_wide_numbers(whole: list[int | None], scale: int, start: int) -> None:
    """All 76 digits, any scale, either sign, in any slice."""
    values = [None if n is None else Decimal(n).scaleb(-scale, EXACT) for n in whole]
    array = pa.array(values, pa.decimal256(76, scale)).slice(start)

    fields = binary_fields.numerics(array)

    for value, field in zip(values[start:], fields, strict=True):
        if value is not None:
            assert read_numeric(field.tobytes()) == (value, scale)


def read_array(field: bytes) -> list[bytes | None]:
    """The elements of a one-dimensional array in its binary form."""
    dimensions, has_null, _, count, first = struct.unpack(">iiIii", field[:20])
    assert (dimensions, first) == (1, 1)
    found: list[bytes | None] = []
    place = 20
    for _ in range(count):
        (size,) = struct.unpack(">i", field[place : place + 4])
        place += 4
        found.append(None if size < 0 else field[place : place + size])
        place += max(size, 0)
    assert place == len(field)
    assert bool(has_null) == (None in found)
    return found


@given(st.lists(st.none() | st.lists(st.none() | st.binary(min_size=16, max_size=16), max_size=4), max_size=6))
def test_arrays(values: list[list[bytes | None] | None]) -> None:
    """NULL lists, NULL elements, empty lists, in every slice."""
    whole = pa.array(values, pa.list_(pa.binary(16)))

    for start in range(len(values) + 1):
        array = whole.slice(start)
        fields = binary_fields.arrays(binary_fields.UUID, array, binary_fields.fixed(array.flatten())).to_pylist()
        assert [f if f is None else read_array(f) for f in fields] == values[start:]
