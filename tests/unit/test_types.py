"""Arrow types and PostgreSQL types: what each becomes, and what may be widened to what without loss."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgpipe.load.fit import fits, widened
from pgpipe.load.types import sql_type

COLUMNS = [
    (pa.bool_(), "boolean"),
    (pa.int8(), "smallint"),
    (pa.uint8(), "smallint"),
    (pa.int16(), "smallint"),
    (pa.uint16(), "integer"),
    (pa.int32(), "integer"),
    (pa.uint32(), "bigint"),
    (pa.int64(), "bigint"),
    (pa.uint64(), "numeric(20,0)"),
    (pa.float16(), "real"),
    (pa.float32(), "real"),
    (pa.float64(), "double precision"),
    (pa.decimal128(12, 2), "numeric(12,2)"),
    (pa.decimal128(5, -3), "numeric(8,0)"),
    (pa.decimal256(38, 38), "numeric(38,38)"),
    (pa.decimal256(39, 0), "numeric(39,0)"),
    (pa.string(), "text"),
    (pa.large_string(), "text"),
    (pa.string_view(), "text"),
    (pa.binary(), "bytea"),
    (pa.large_binary(), "bytea"),
    (pa.binary_view(), "bytea"),
    (pa.binary(3), "bytea"),
    (pa.date32(), "date"),
    (pa.date64(), "date"),
    (pa.time32("s"), "time without time zone"),
    (pa.time64("ns"), "time without time zone"),
    (pa.timestamp("ns"), "timestamp without time zone"),
    (pa.timestamp("ms", "Europe/Berlin"), "timestamp with time zone"),
    (pa.duration("s"), "interval"),
    (pa.null(), "text"),
    (pa.uuid(), "uuid"),
    (pa.json_(), "jsonb"),
    (pa.dictionary(pa.int8(), pa.string()), "text"),
    (pa.dictionary(pa.int32(), pa.decimal128(4, 1)), "numeric(4,1)"),
    (pa.list_(pa.int32()), "integer[]"),
    (pa.large_list(pa.string()), "text[]"),
    (pa.list_(pa.float32(), 4), "real[]"),
    (pa.list_(pa.uint64()), "numeric(20,0)[]"),
    (pa.list_(pa.uuid()), "uuid[]"),
    (pa.list_(pa.dictionary(pa.int8(), pa.string())), "text[]"),
    (pa.list_(pa.timestamp("us", "UTC")), "timestamp with time zone[]"),
    (pa.list_(pa.list_(pa.int32())), "jsonb"),
    (pa.list_(pa.null()), "jsonb"),
    (pa.list_(pa.json_()), "jsonb"),
    (pa.struct({"a": pa.int32()}), "jsonb"),
    (pa.map_(pa.string(), pa.int32()), "jsonb"),
    (pa.list_(pa.struct({"a": pa.null()})), "jsonb"),
    (pa.map_(pa.string(), pa.null()), "jsonb"),
    (pa.month_day_nano_interval(), None),
    (pa.struct([("a", pa.int8()), ("a", pa.int8())]), None),  # JSON would keep one
    (pa.list_(pa.map_(pa.string(), pa.struct([("a", pa.int8()), ("b", pa.int8()), ("a", pa.null())]))), None),
    (pa.list_(pa.decimal256(50, 0)), "numeric(50,0)[]"),
]


@pytest.mark.parametrize(("arrow", "expected"), COLUMNS, ids=[str(arrow) for arrow, _ in COLUMNS])
def test_sql_type(arrow: pa.DataType, expected: str | None) -> None:
    """Every Arrow type has the column that holds all its values, or none."""
    assert sql_type(arrow) == expected


INTEGERS = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
numerics = st.integers(1, 38).flatmap(lambda p: st.integers(0, p).map(lambda s: f"numeric({p},{s})"))
exact = st.sampled_from(sorted(INTEGERS)) | numerics
columns = exact | st.sampled_from(
    ["real", "double precision", "text", "jsonb", "date", "uuid", "integer[]", "bigint[]", "text[]", "real[]"]
)


def largest(sql: str) -> tuple[int, int]:
    """The largest value of an exact number, in units of its last digit, and how many digits follow the point."""
    if sql in INTEGERS:
        return INTEGERS[sql] - 1, 0
    precision, scale = map(int, sql.removeprefix("numeric(").removesuffix(")").split(","))
    return 10**precision - 1, scale


def goes_into(value: tuple[int, int], sql: str) -> bool:
    """Whether a number fits a column without being rounded."""
    units, scale = value
    most, room = largest(sql)
    return scale <= room and units * 10 ** (room - scale) <= most


@given(exact, exact)
def test_what_fits_is_held(narrow: str, wide: str) -> None:
    """No exact number fits a column that its largest value, to the last digit, would not go into."""
    if fits(narrow, wide):
        assert goes_into(largest(narrow), wide)


@given(columns, columns)
def test_the_widened_type_holds_both(one: str, two: str) -> None:
    """Whichever way round, and it never gets wider a second time."""
    wide = widened(one, two)

    assert wide == widened(two, one)
    if wide is not None:
        assert fits(one, wide)
        assert fits(two, wide)
        assert widened(wide, one) == widened(wide, two) == wide


@given(exact, exact)
def test_exact_numbers_can_always_be_widened(one: str, two: str) -> None:
    """Two files that hold different exact numbers always agree."""
    assert widened(one, two) is not None


@given(columns)
def test_every_type_holds_itself(sql: str) -> None:
    """The same file again changes nothing."""
    assert fits(sql, sql)
    assert widened(sql, sql) == sql


@pytest.mark.parametrize(
    ("file", "target", "wide"),
    [
        ("bigint", "integer", "bigint"),
        ("numeric(20,0)", "bigint", "numeric(20,0)"),
        ("numeric(4,2)", "integer", "numeric(12,2)"),
        ("double precision", "real", "double precision"),
        ("bigint[]", "integer[]", "bigint[]"),
        ("integer", "real", None),  # 2**31 - 1 has no real
        ("text", "integer", None),
        ("integer", "text", None),
        ("jsonb", "text", None),
        ("text", "jsonb", None),
        ("timestamp without time zone", "timestamp with time zone", None),
        ("timestamp without time zone", "date", None),
        ("text[]", "text", None),
    ],
)
def test_widened(file: str, target: str, wide: str | None) -> None:
    """Numbers widen; nothing else turns into anything else."""
    assert widened(file, target) == wide


@pytest.mark.parametrize(
    "target", ["character varying(20)", "character varying", "citext", "jsonb", "json", "xml", "name", "character(3)"]
)
def test_text_goes_into_what_is_written_as_text(target: str) -> None:
    """A column that the user made more precise takes what it can; it is never changed back."""
    assert fits("text", target)
    assert not fits(target, "integer")


def test_a_number_without_modifiers_holds_all_exact_ones() -> None:
    """A user's plain `numeric` column is left as it is."""
    assert fits("numeric(38,10)", "numeric")
    assert fits("bigint", "numeric")
    assert not fits("double precision", "numeric")
