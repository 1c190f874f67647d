"""Values of every type in the table of docs/loading.md: made, read back, compared with what the database holds."""

import json
import math
import re
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Context, Decimal
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa

from pgpipe.load.types import sql_type, storage

PAGE = Path(__file__).parents[2] / "docs" / "loading.md"


SIMPLE: dict[str, Callable[..., pa.DataType]] = {
    name: getattr(pa, alias)
    for name, alias in [
        *(
            (n, n)
            for n in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "string", "binary")
        ),
        *((n, n) for n in ("large_string", "string_view", "large_binary", "binary_view", "date32", "date64", "uuid")),
        *((n, n) for n in ("time32", "time64", "timestamp", "duration", "bool8", "null")),
        *((f"decimal{n}", f"decimal{n}") for n in (32, 64, 128, 256)),
        ("bool", "bool_"),
        ("halffloat", "float16"),
        ("float", "float32"),
        ("double", "float64"),
        ("json", "json_"),
        ("fixed_size_binary", "binary"),
    ]
}


NESTED: dict[str, Callable[..., pa.DataType]] = {
    "list": pa.list_,
    "large_list": pa.large_list,
    "list_view": pa.list_view,
    "large_list_view": pa.large_list_view,
    "fixed_size_list": pa.list_,
    "dictionary": pa.dictionary,
    "map": pa.map_,
}


def arrow(text: str) -> pa.DataType:
    """The type that is written in the table."""
    match = re.fullmatch(r"(\w+)(?:<(.*)>)?(?:[\[(](.*?)[\])])?", text)
    assert match, text
    name, inner, more = match[1], split(match[2]), split(match[3])
    if name == "struct":
        return pa.struct([(n.strip(), arrow(t.strip())) for n, t in (part.split(":", 1) for part in inner)])
    numbers = [int(n) if n.isdigit() else n.removeprefix("tz=") for n in more]
    return NESTED[name](*map(arrow, inner), *numbers) if inner else SIMPLE[name](*numbers)


def split(text: str | None) -> list[str]:
    """At commas that are in no brackets."""
    depths, parts = 0, [""]
    for char in text or "":
        depths += (char in "<[(") - (char in ">])")
        if char == "," and not depths:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts if part.strip()]


def marked(file: Path, name: str) -> list[list[str]]:
    """The cells of the table between the markers `name`."""
    text = file.read_text(encoding="utf-8").split(f"<!-- {name} -->")[1]
    return [[c.strip() for c in line.strip("|").split("|")] for line in text.strip().splitlines()[2:]]


ROWS = [
    (arrow(kind), sql.strip("`")) for kinds, sql, _ in marked(PAGE, "types") for kind in re.findall("`(.*?)`", kinds)
]


KINDS = [kind for kind, _ in ROWS]


MOMENTS = [-1, -1000, -1001, 0, 999, 1000, -(2**54), 2**57]  # in nanoseconds


INSTANTS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


WIDE = Context(prec=80)


FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # that Python can say


EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def values(kind: Any) -> list[Any]:
    """Extreme and ordinary values of a type, as Arrow takes them; NULL is added where they are used."""
    kind = kind if isinstance(kind, pa.UuidType | pa.JsonType) else storage(kind)
    t = pa.types
    if isinstance(kind, pa.UuidType):
        return [uuid.UUID(int=0).bytes, uuid.UUID(int=2**128 - 1).bytes, bytes(range(16))]
    if isinstance(kind, pa.JsonType):
        return ['{"a": [1, null, "\\u00e4\\n"]}', "[]", "3", '""']
    if t.is_boolean(kind) or t.is_int8(kind):
        return [0, 1] if t.is_int8(kind) else [True, False]
    if t.is_integer(kind):
        signed = t.is_signed_integer(kind)
        bits = kind.bit_width - signed
        return [2**bits - 1, -(2**bits) if signed else 0, 7]
    if t.is_floating(kind):
        most = {16: 65504.0, 32: 3.4028235e38, 64: 1.7976931348623157e308}[kind.bit_width]
        return [0.5, -0.0, most, -most, float("inf"), float("nan")]
    if t.is_decimal(kind):
        digits = Decimal("9" * kind.precision).scaleb(-kind.scale, WIDE)
        return [digits, digits.copy_negate(), Decimal(1).scaleb(-kind.scale), Decimal(0)]
    if t.is_null(kind):
        return [None]
    if t.is_date(kind):
        return [date(1, 1, 1), date(1969, 12, 31), date(9999, 12, 31)]
    return nested_values(kind)


def nested_values(kind: Any) -> list[Any]:
    """Of texts, moments and what has elements."""
    t = pa.types
    if t.is_string(kind) or t.is_large_string(kind) or t.is_string_view(kind):
        return ["", "naïve 🙂 \\N \t\n\"'{,}", "b" * 100_000]
    if t.is_fixed_size_binary(kind):
        return [bytes(kind.byte_width), b"\xff" * kind.byte_width]
    if t.is_binary(kind) or t.is_large_binary(kind) or t.is_binary_view(kind):
        return [b"", b"\0\xff", b"\\x00"]
    if t.is_time(kind):
        return [0, INSTANTS[kind.unit] * 86_400 - 1]
    if t.is_duration(kind):
        return [0, 1, -1, -1001, 10**9]
    if t.is_timestamp(kind):
        ends = [int((m - EPOCH).total_seconds()) * INSTANTS[kind.unit] for m in (FIRST, LAST)]
        return [*(ends if kind.unit != "ns" else []), *(n * INSTANTS[kind.unit] // 10**9 for n in MOMENTS), 1, -1]
    if t.is_struct(kind):
        return [{f.name: values(f.type)[0] for f in kind}, {f.name: None for f in kind}]
    if t.is_map(kind):
        return [[(k, v) for k, v in zip(values(kind.key_type), [*values(kind.item_type), None], strict=False)], []]
    elements = values(kind.field(0).type)
    if t.is_fixed_size_list(kind):
        return [(elements * kind.list_size)[: kind.list_size], [None] * kind.list_size]
    return [[*elements, None], [], [None], elements[:1]]


def array(kind: pa.DataType) -> pa.Array:
    """The values with NULL first, between and last, in the middle of a larger array."""
    plain = list(values(kind))
    spread = [None, *(v for value in plain for v in (value, None))]
    return made([*plain[:1], *spread, *plain[:1]], kind).slice(1, len(spread))


def made(plain: list[Any], kind: Any) -> pa.Array:
    """An array of any type, also of those that pyarrow makes of nothing within a list."""
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, pa.array(plain, kind.storage_type))
    if pa.types.is_dictionary(kind):
        coded = made(plain, kind.value_type).dictionary_encode()
        return pa.DictionaryArray.from_arrays(coded.indices.cast(kind.index_type), coded.dictionary)
    mask = pa.array([v is None for v in plain])
    if pa.types.is_list(kind):
        ends = [0, *accumulate(len(v or []) for v in plain)]
        elements = made([e for v in plain for e in v or []], kind.value_type)
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), elements, mask=mask)
    if pa.types.is_struct(kind):
        fields = [made([v and v[f.name] for v in plain], f.type) for f in kind]
        return pa.StructArray.from_arrays(fields, [f.name for f in kind], mask=mask)
    return pa.array(plain, kind)


def back(kind: Any, value: Any) -> Any:
    """What a value becomes in a column of its own type, as psycopg reads it."""
    t = pa.types
    if value is None:
        return None
    if isinstance(kind, pa.UuidType):
        return uuid.UUID(bytes=value)
    if isinstance(kind, pa.JsonType):
        return json.loads(value)
    kind = storage(kind)
    if sql_type(kind) == "jsonb":
        return in_json(kind, value)
    if t.is_time(kind):
        micro = value * 10**6 // INSTANTS[kind.unit]
        return (EPOCH + timedelta(microseconds=micro)).time()
    if t.is_duration(kind):
        return timedelta(microseconds=value * 10**6 // INSTANTS[kind.unit])
    if t.is_timestamp(kind):
        moment = EPOCH + timedelta(microseconds=value * 10**6 // INSTANTS[kind.unit])
        return moment if kind.tz else moment.replace(tzinfo=None)
    if isinstance(value, list):
        return [back(kind.field(0).type, v) for v in value]
    return value


def in_json(kind: Any, value: Any) -> Any:
    """What a value becomes within jsonb."""
    t = pa.types
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return None
    if isinstance(kind, pa.UuidType):
        return str(uuid.UUID(bytes=value))
    if isinstance(kind, pa.JsonType):
        return json.loads(value)
    if t.is_map(kind):
        return {str(k): in_json(kind.item_type, v) for k, v in value}
    if isinstance(value, list):
        return [in_json(kind.field(0).type, v) for v in value]
    if isinstance(value, dict):
        return {f.name: in_json(f.type, value[f.name]) for f in kind}
    if t.is_timestamp(kind):
        whole = value * 10**9 // INSTANTS[kind.unit]
        seconds = (EPOCH + timedelta(seconds=whole // 10**9)).replace(tzinfo=None).isoformat()
        digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[kind.unit]
        return f"{seconds}.{whole % 10**9:09}"[: 20 + digits].rstrip(".") + ("Z" if kind.tz else "")
    if isinstance(value, bytes):
        return f"\\x{value.hex()}"
    if isinstance(value, Decimal):
        return float(value)  # as Python reads a number of JSON
    return value.isoformat() if isinstance(value, date | time) else value


def same(one: Any, two: Any) -> bool:
    """Equality in which not-a-number is equal to itself, and zero has a sign."""
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, float) and isinstance(two, float):
        return repr(one) == repr(two)
    if isinstance(one, int) and isinstance(two, float):  # jsonb writes a number out
        return float(one) == two
    return bool(one == two)
