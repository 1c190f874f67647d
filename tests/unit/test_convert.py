"""Conversion: Arrow arrays of any type to the form in which a column of a SQL type travels."""

import json
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgpipe.errors import BadValue
from pgpipe.load.rows.convert import convert, converter
from pgpipe.load.types import sql_type

BERLIN = "Europe/Berlin"


def travel(array: pa.Array) -> list:
    """The values as they travel, each checked to have the type that was announced."""
    sql = sql_type(array.type)
    assert sql is not None
    wire = convert(array, sql)
    assert wire.type == converter(sql, array.type)
    wire.validate(full=True)
    return wire.to_pylist()


ZERO = datetime(1970, 1, 1)  # noqa: DTZ001 - a column without time zone
PLAIN = [
    (pa.array([1, None, 255], pa.uint8()), [1, None, 255]),
    (pa.array([2**64 - 1, None, 2**63], pa.uint64()), [Decimal(2**64 - 1), None, Decimal(2**63)]),
    (pa.array([1.5, None], pa.float16()), [1.5, None]),
    (pa.array([Decimal("-1.50"), None], pa.decimal128(5, 2)), [Decimal("-1.50"), None]),
    (pa.array([Decimal("1.5")], pa.decimal256(5, 2)), [Decimal("1.50")]),
    (pa.array([Decimal("12E3"), None], pa.decimal128(4, -3)), [Decimal(12000), None]),
    (pa.array(["a", None], pa.large_string()), ["a", None]),
    (pa.array(["a", None], pa.string_view()), ["a", None]),
    (pa.array([b"\0", None], pa.binary_view()), [b"\0", None]),
    (pa.array([b"abc", None], pa.binary(3)), [b"abc", None]),
    (pa.array(["x", None, "x"]).dictionary_encode(), ["x", None, "x"]),
    (pa.array([date(1900, 1, 1), None], pa.date64()), [date(1900, 1, 1), None]),
    (pa.array([86_399, None], pa.time32("s")), [time(23, 59, 59), None]),
    (pa.array([-1, None], pa.timestamp("s")), [ZERO - timedelta(seconds=1), None]),
    (pa.array([1, None], pa.duration("s")), [timedelta(seconds=1), None]),
    (pa.nulls(2), [None, None]),
]


@pytest.mark.parametrize(("array", "expected"), PLAIN, ids=[str(array.type) for array, _ in PLAIN])
def test_values_stay_what_they_are(array: pa.Array, expected: list) -> None:
    """A type that COPY has no form of travels in one that it has, with the same values."""
    assert travel(array) == expected
    assert travel(array.slice(1)) == expected[1:]


def test_extension_types_travel_as_what_they_stand_for() -> None:
    """A uuid is its 16 bytes, JSON is not wrapped a second time."""
    one = uuid.uuid4()

    assert travel(pa.array([one.bytes, None], pa.uuid())) == [one.bytes, None]
    assert travel(pa.array(['{"a": 1}', None], pa.json_())) == [b'\x01{"a": 1}', None]


def test_nanoseconds_are_floored() -> None:
    """Towards the past, also before 1970: an order of events is never turned round by it."""
    nanos = [-1, -1000, -1001, 0, 999, 1000, None]
    floored = [-1, -1, -2, 0, 0, 1, None]

    moments = travel(pa.array(nanos, pa.timestamp("ns")))
    spans = travel(pa.array(nanos, pa.duration("ns")))

    assert moments == [None if m is None else ZERO + timedelta(microseconds=m) for m in floored]
    assert spans == [None if m is None else timedelta(microseconds=m) for m in floored]
    assert travel(pa.array([1999, None], pa.time64("ns"))) == [time(microsecond=1), None]
    assert travel(pa.array([[-1], None], pa.list_(pa.timestamp("ns")))) == [[ZERO - timedelta(microseconds=1)], None]
    assert travel(pa.array([-1], pa.timestamp("ns", BERLIN))) == [ZERO.replace(tzinfo=UTC) - timedelta(microseconds=1)]


@given(st.lists(st.none() | st.integers(-(2**63) + 1, 2**63 - 1)), st.integers(0, 5))
def test_any_nanosecond_is_floored(nanos: list[int | None], start: int) -> None:
    """Whatever the value, and wherever a slice begins."""
    wire = convert(pa.array(nanos, pa.timestamp("ns")).slice(start), "timestamp without time zone")

    assert wire.view(pa.int64()).to_pylist() == [None if n is None else n // 1000 for n in nanos[start:]]


def test_a_moment_keeps_its_instant() -> None:
    """Whatever the time zone, the same instant travels."""
    noon = datetime(2026, 7, 1, 12, tzinfo=UTC)

    assert travel(pa.array([noon, None], pa.timestamp("us", BERLIN))) == [noon, None]


LISTS = [
    pa.array([[1, None], None, [], [3]], pa.list_(pa.int8())),
    pa.array([["a"], None, [], [None]], pa.large_list(pa.string())),
    pa.array([[1.5, 2.5], None, [3.5, None]], pa.list_(pa.float32(), 2)),
    pa.array([[Decimal(2**64 - 1)], None, [None]], pa.list_(pa.decimal128(20, 0))),
    pa.array([["a", "b"], None, ["a"]], pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    pa.array([[date(2026, 1, 1)], None, []], pa.list_(pa.date64())),
]


@pytest.mark.parametrize("array", LISTS, ids=[str(array.type) for array in LISTS])
def test_lists_become_arrays(array: pa.Array) -> None:
    """With NULL lists, NULL elements and empty lists, and wherever a slice begins and ends."""
    for start in range(len(array)):
        for length in range(len(array) - start + 1):
            part = array.slice(start, length)
            assert travel(part) == part.to_pylist()


def test_arrays_that_the_encoder_lacks_are_made() -> None:
    """PostgreSQL takes an array only with the type of its own elements in its header."""
    one = uuid.UUID(int=1)
    second = datetime(2000, 1, 1, 0, 0, 1, tzinfo=UTC)

    ids = pa.array([one.bytes, None], pa.uuid())
    made, empty, none = travel(
        pa.ListArray.from_arrays(pa.array([0, 2, 2, 2]), ids, mask=pa.array([False, False, True]))
    )
    moments = travel(pa.array([[second], [None], None], pa.list_(pa.timestamp("ns", BERLIN))))

    assert made.hex() == "00000001 00000001 00000b86 00000002 00000001 00000010".replace(" ", "") + one.hex + "f" * 8
    assert empty.hex() == "00000001 00000000 00000b86 00000000 00000001".replace(" ", "")
    assert none is None
    assert moments[0].hex() == "00000001 00000000 000004a0 00000001 00000001 00000008 00000000000f4240".replace(" ", "")
    assert moments[1].hex() == "00000001 00000001 000004a0 00000001 00000001 ffffffff".replace(" ", "")
    assert moments[2] is None


def as_json(array: pa.Array) -> list:
    """The documents that travel, each after the version byte of jsonb."""
    fields = travel(array)
    assert all(f is None or f[:1] == b"\x01" for f in fields)
    return [None if f is None else json.loads(f[1:]) for f in fields]


NESTED = pa.struct(
    {
        "text": pa.string(),
        "number": pa.float64(),
        "exact": pa.decimal128(5, 2),
        "blob": pa.binary(),
        "at": pa.timestamp("ns", BERLIN),
        "day": pa.date32(),
        "time": pa.time64("ns"),
        "span": pa.duration("ns"),
        "kind": pa.dictionary(pa.int8(), pa.string()),
        "list": pa.list_(pa.struct({"n": pa.int64()})),
        "map": pa.map_(pa.date32(), pa.int8()),
    }
)


def test_nested_values_become_json() -> None:
    """Every type has a form in JSON; what JSON lacks becomes its text, not-a-number becomes null."""
    row = {
        "text": 'ü"\n',
        "number": float("nan"),
        "exact": Decimal("1.50"),
        "blob": b"\xff",
        "at": datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "time": time(1, 2, 3, 4),
        "span": timedelta(seconds=1.5),
        "kind": "k",
        "list": [{"n": 2**63 - 1}, None],
        "map": [(date(2026, 1, 2), 1)],
    }

    whole, nothing, empty = as_json(pa.array([row, None, {}], NESTED))

    assert whole == {
        "text": 'ü"\n',
        "number": None,
        "exact": 1.5,
        "blob": "\\xff",
        "at": "1969-12-31T23:59:59.999999000Z",
        "day": "2026-01-02",
        "time": "01:02:03.000004000",
        "span": 1.5,
        "kind": "k",
        "list": [{"n": 2**63 - 1}, None],
        "map": {"2026-01-02": 1},
    }
    assert nothing is None
    assert empty == dict.fromkeys(whole)


def test_nested_nanoseconds_are_kept() -> None:
    """JSON's text has room for them; also in a slice of a slice."""
    moments = pa.array([None, [{"at": -1}], None, [{"at": None}, None], []], pa.list_(pa.struct({"at": pa.int64()})))
    moments = moments.cast(pa.list_(pa.struct({"at": pa.timestamp("ns")})))

    expected = [None, [{"at": "1969-12-31T23:59:59.999999999"}], None, [{"at": None}, None], []]
    assert as_json(moments) == expected
    assert as_json(moments.slice(1).slice(0, 3)) == expected[1:4]


def test_a_uuid_in_json_is_its_text() -> None:
    """Not the hexadecimal digits of its bytes."""
    one = uuid.UUID(int=7)
    ids = pa.array([one.bytes, None], pa.uuid())

    assert as_json(pa.StructArray.from_arrays([ids], ["id"])) == [{"id": str(one)}, {"id": None}]


def test_infinities_and_big_numbers_in_json() -> None:
    """JSON has no infinity; integers of any size stay exact."""
    numbers = pa.array([{"a": float("inf"), "b": 2**64 - 1}], pa.struct({"a": pa.float32(), "b": pa.uint64()}))

    assert as_json(numbers) == [{"a": None, "b": 2**64 - 1}]


DAYS = pa.array([2**31 - 1, None], pa.int32()).cast(pa.date32())
BAD = [
    (pa.array([Decimal(10**37)], pa.decimal128(38, 0)).view(pa.decimal128(38, -5)), "numeric(43,0)", "decimal128(38"),
    (pa.array([[("a", 1), ("a", 2)]], pa.map_(pa.string(), pa.int8())), "jsonb", "a map that has a key twice"),
    (pa.array([2**62], pa.timestamp("s")), "timestamp without time zone", "a value of timestamp[s] that timestamp"),
    (pa.array([-(2**62)], pa.timestamp("us")), "timestamp without time zone", "out of the range"),
    (DAYS, "date", "out of the range of PostgreSQL's date"),
    (pa.ListArray.from_arrays([0, 2], DAYS), "date[]", "out of the range of PostgreSQL's date"),
    (pa.array([86_400_000_001], pa.int64()).view(pa.time64("us")), "time without time zone", "out of the range"),
    (pa.array(["00000000-0000-0000-0000-00000000000g"]), "uuid", "a text that is not a valid uuid"),
    (pa.array(["0000"]), "uuid", "a text that is not a valid uuid"),
    (pa.array(["a\0b", None]), "text", "a NUL character"),
    (pa.array([["a", "a\0b"], None]), "text[]", "a NUL character"),
    (pa.array([b"\xed\xa0\x80"]).view(pa.string()), "text", "bytes that are not UTF-8"),  # half of a surrogate pair
    (pa.array([b"\xff"]).view(pa.string()), "citext", "bytes that are not UTF-8"),
    (pa.array(["äöü"]), "character varying(2)", "longer than the 2 characters"),
    (pa.array(["2026-13-01"]), "date", "a value of string that date does not hold"),
    (pa.array(["2026-01-01 10:00:00"]), "timestamp with time zone", "a value of string"),
    (pa.array([1.5]), "integer", "a value of double that integer does not hold"),
    (pa.array([19.999]), "numeric(10,2)", "a value of double"),
    (pa.array([0.1]), "real", "would round"),
    (pa.array([100]), "numeric(2,0)", "a value of int64 that numeric(2,0) does not hold"),
    (pa.array([[1.0, 2.0], [1.0]]), "vector(2)", "a list that has not 2 elements"),
    (pa.array([[1.0, None]]), "vector(2)", "NULL or not finite"),
    (pa.array([[1e6]]), "halfvec", "NULL or not finite"),
    (pa.array([[]], pa.list_(pa.float32())), "vector", "an empty list"),
]


@pytest.mark.parametrize(("array", "sql", "reason"), BAD, ids=[f"{a.type} to {sql}" for a, sql, _ in BAD])
def test_a_value_that_does_not_fit_is_found(array: pa.Array, sql: str, reason: str) -> None:
    """Before it is sent; the reason is one line that has no value in it. Slices without it pass."""
    with pytest.raises(BadValue) as caught:
        convert(array, sql)

    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    assert convert(array.slice(len(array)), sql).type == converter(sql, array.type)


READ = [
    (pa.array([1, None]), "numeric(10,2)", [Decimal(1), None]),
    (pa.array([19.99, None]), "numeric(10,2)", [Decimal("19.99"), None]),
    (pa.array([2.0, None]), "integer", [2, None]),
    (pa.array([0.5, float("nan"), None]), "real", [0.5, None, None]),
    (pa.array(["007", None]), "integer", [7, None]),
    (pa.array(["12.50", None]), "numeric(10,1)", [Decimal("12.5"), None]),
    (pa.array(["2026-01-02", None]), "date", [date(2026, 1, 2), None]),
    (pa.array(["1970-01-01T01:00:00+01:00", None]), "timestamp with time zone", [ZERO.replace(tzinfo=UTC), None]),
    (pa.array(["00000000-0000-0000-0000-000000000007", None]), "uuid", [uuid.UUID(int=7).bytes, None]),
    (pa.array([uuid.UUID(int=7).bytes, None]), "uuid", [uuid.UUID(int=7).bytes, None]),
    (pa.array([uuid.UUID(int=7).bytes, None], pa.uuid()), "text", [str(uuid.UUID(int=7)), None]),
    (pa.array([0.1, None]), "character varying", ["0.1", None]),
    (pa.array([date(2026, 1, 2), None]), "timestamp without time zone", [datetime(2026, 1, 2), None]),  # noqa: DTZ001
    (pa.array([[1], None]), "json", ["[1]", None]),
    (pa.array([[1, None], None]), "jsonb", [b"\x01[1,null]", None]),
]


@pytest.mark.parametrize(("array", "sql", "expected"), READ, ids=[f"{a.type} to {sql}" for a, sql, _ in READ])
def test_values_are_read_as_the_column_has_them(array: pa.Array, sql: str, expected: list) -> None:
    """What is in the target, or declared for it, decides."""
    found = convert(array, sql).to_pylist()

    assert [None if isinstance(v, float) and v != v else v for v in found] == expected  # noqa: PLR0124 - not a number


def test_vectors_have_pgvectors_form() -> None:
    """Their number, zero, then each as a float of 4 or 2 bytes, big-endian; lists may differ in length."""
    values = pa.array([[9.0], [1.5, -2.0], None, [0.5]], pa.list_(pa.float64())).slice(1)

    full, none, short = convert(values, "vector").to_pylist()
    half = convert(pa.array([[1.5, -2.0]], pa.list_(pa.float32(), 2)), "halfvec(2)").to_pylist()

    assert full.hex() == "000200003fc00000c0000000"
    assert (none, short.hex()) == (None, "000100003f000000")
    assert half[0].hex() == "000200003e00c000"
