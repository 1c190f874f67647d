"""Values that are read from text: as PostgreSQL reads them, or bad."""

from decimal import Decimal

import pyarrow as pa
import pytest

from pgpipe.errors import BadValue
from pgpipe.load.rows.convert import convert

INFINITE, NONE = float("inf"), float("nan")
READ = [
    ("double precision", ["1e308", "-1.5", "0e-400", "-0.0", "1e-310"], [1e308, -1.5, 0.0, -0.0, 1e-310]),
    ("double precision", ["Infinity", "-inf", "+INF", "NaN"], [INFINITE, -INFINITE, INFINITE, NONE]),
    ("real", ["3.4028235e38", "0.1", "inf"], [3.4028234663852886e38, 0.10000000149011612, INFINITE]),
    ("bigint", ["9223372036854775807", "-9223372036854775808", "007"], [2**63 - 1, -(2**63), 7]),
    ("numeric(10,2)", ["1e2", "99999999.99", "-.5"], [Decimal("100.00"), Decimal("99999999.99"), Decimal("-0.50")]),
]
REFUSED = [
    *(("double precision", text) for text in ("1e400", "-1e400", "1e-400", "2e-324", "nan(1)", "1e", "", " 1", "0x10")),
    *(("real", text) for text in ("1e40", "3.4028236e38", "1e-50")),
    *(("bigint", text) for text in ("9223372036854775808", "0xFFFFFFFFFFFFFFFF", "0x1F", "1e3", "1.0", "")),
    ("integer", "0xFFFFFFFF"),
    *(("numeric(10,2)", text) for text in ("1e400", "123456789.00", "19.999", "NaN", "inf", "")),
    *(("date", text) for text in ("0000-00-00", "0000-01-01", "2026-02-30", "10000-01-01")),
    *(("timestamp without time zone", text) for text in ("0000-01-01 00:00:00", "0000-00-00 00:00:00")),
    ("timestamp with time zone", "0000-01-01T00:00:00Z"),
]


@pytest.mark.parametrize(("sql", "texts", "expected"), READ, ids=[f"{sql} {texts[0]}" for sql, texts, _ in READ])
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_texts_are_read_as_typed(sql: str, texts: list[str], expected: list, kind: pa.DataType) -> None:
    """Infinity and not-a-number only where the text says so; NULL stays NULL."""
    found = convert(pa.array([*texts, None], kind), sql).to_pylist()

    assert list(map(repr, found)) == list(map(repr, [*expected, None]))


@pytest.mark.parametrize(("sql", "text"), REFUSED)
@pytest.mark.parametrize("kind", [pa.string(), pa.large_string()], ids=str)
def test_what_a_type_does_not_hold_is_bad(sql: str, text: str, kind: pa.DataType) -> None:
    """L34: a text that overflows never becomes Infinity, one that underflows never zero, and no bits are wrapped."""
    with pytest.raises(BadValue):
        convert(pa.array([None, text], kind), sql)


@pytest.mark.parametrize(
    ("array", "sql"),
    [
        (pa.array([1e40]), "real"),
        (pa.array([1e-50]), "real"),
        (pa.array([0.1]), "real"),
        (pa.array([2**53 + 1]), "double precision"),
        (pa.array([2**24 + 1], pa.int32()), "real"),
        (pa.array([2.0**63]), "bigint"),
        (pa.array([1e300]), "numeric(10,2)"),
        (pa.array([Decimal("12345678901234567890.12")]), "double precision"),
    ],
    ids=str,
)
def test_numbers_are_not_rounded(array: pa.Array, sql: str) -> None:
    """L34: what a file's number would lose in the declared type makes it a bad value."""
    with pytest.raises(BadValue):
        convert(array, sql)


def test_a_decimal_becomes_the_nearest_float() -> None:
    """Not one beside it, as Arrow's own cast gives."""
    assert convert(pa.array([Decimal("0.1")]), "real") == pa.array([0.1], pa.float32())
    assert convert(pa.array([Decimal("0.3")]), "double precision").to_pylist() == [0.3]
