"""JSON text by kernels: the same documents as Python's own writer makes of the same values."""

import json
import math
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pgpipe.load.rows.json_text import json_text, uuid_of_text
from pgpipe.load.rows.json_text import plain_text as text_of
from tests.fixtures.examples import examples

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
INNER = pa.struct({"t": pa.string(), "n": pa.int64(), "f": pa.float64(), "b": pa.bool_()})
KIND = pa.struct({"a": pa.list_(INNER), "m": pa.map_(pa.string(), pa.list_(pa.int32())), 'q"': pa.large_string()})
inner = st.fixed_dictionaries(
    {
        "t": st.none() | TEXT,
        "n": st.none() | st.integers(-(2**63), 2**63 - 1),
        "f": st.none() | st.floats(),
        "b": st.none() | st.booleans(),
    }
)
document = st.fixed_dictionaries(
    {
        "a": st.none() | st.lists(st.none() | inner, max_size=3),
        "m": st.none()
        | st.dictionaries(TEXT, st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3), max_size=3),
        'q"': st.none() | TEXT,
    }
)


def finite(value: Any) -> Any:
    """What JSON has of a value."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    return [finite(v) for v in value] if isinstance(value, list) else value


def for_arrow(value: Any) -> Any:
    """A map is a list of pairs."""
    return value and {k: list(v.items()) if k == "m" and v is not None else v for k, v in value.items()}


@given(st.lists(st.none() | document, max_size=5), st.integers(0, 2), st.integers(0, 5))
@settings(max_examples=examples(60, 200), deadline=None)
def test_nested_documents(documents: list[dict | None], start: int, length: int) -> None:
    """Any text, number, NULL and depth, in any slice."""
    array = pa.array([for_arrow(d) for d in documents], KIND).slice(start, length)

    texts = json_text(array)

    texts.validate(full=True)
    assert [json.loads(t) for t in texts.to_pylist()] == [finite(d) for d in documents[start : start + length]]


@given(st.lists(st.none() | st.uuids(), max_size=5), st.integers(0, 3))
def test_uuids_there_and_back(uuids: list, start: int) -> None:
    """Their canonical text, and their bytes from it; with capitals, braces and without hyphens too."""
    array = pa.array([u and u.bytes for u in uuids], pa.binary(16)).cast(pa.uuid()).slice(start)
    texts = text_of(array)

    assert texts.to_pylist() == [u and str(u) for u in uuids[start:]]
    assert uuid_of_text(texts).to_pylist() == [u and u.bytes for u in uuids[start:]]
    other = pa.array([u and f"{{{u.hex.upper()}}}" for u in uuids[start:]], pa.string())
    assert uuid_of_text(other).to_pylist() == [u and u.bytes for u in uuids[start:]]
