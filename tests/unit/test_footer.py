"""Footers: each count that disagrees with another is found, and what no mainstream writer would write is no trap."""

from collections.abc import Iterator
from io import BytesIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgpipe.load.plan.footer import what_is_wrong

ROWS = 9_973
TABLE = pa.table({"id": range(ROWS), "text": ["xy"] * ROWS, "tags": [["a", None], [], None] * 3324 + [[]]})
FLAT = [("id", False), ("text", False)]
NESTED = ("tags.list.element", True)


def footer(table: pa.Table, **options: object) -> bytes:
    """The footer of a file with this table."""
    stream = BytesIO()
    pq.write_table(table, stream, **options)
    return footer_of(stream)


def footer_of(stream: BytesIO) -> bytes:
    """The footer of this file."""
    content = stream.getvalue()
    return content[-8 - int.from_bytes(content[-8:-4], "little") : -8]


def number(value: int) -> bytes:
    """A number as Thrift's compact protocol writes it, with the type of its field before it."""
    left, found = value * 2 if value >= 0 else -value * 2 - 1, bytearray(b"\x16")
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes((*found, left))


def altered(content: bytes, old: bytes, new: bytes) -> Iterator[bytes]:
    """The content with one occurrence changed, for each."""
    at = content.find(old)
    while at >= 0:
        yield content[:at] + new + content[at + len(old) :]
        at = content.find(old, at + 1)


def test_what_writers_write_is_right() -> None:
    """Several row groups, nested columns, NULLs, no rows, no columns."""
    structs = pa.table({"s": [{"a": 1, "b": [{"c": None}]}, None] * 50})

    assert what_is_wrong(footer(TABLE, row_group_size=1000), [*FLAT, NESTED]) is None
    assert what_is_wrong(footer(TABLE[:0]), [*FLAT, NESTED]) is None
    assert what_is_wrong(footer(structs), [("s.a", False), ("s.b", True)]) is None
    assert what_is_wrong(footer(TABLE.select([])), []) is None


def test_a_writer_that_was_cut_off() -> None:
    """L3: a footer that announces rows and lists no row group is damaged."""
    stream = BytesIO()
    pq.ParquetWriter(stream, TABLE.schema).close()
    (forged,) = altered(footer_of(stream), number(0), number(3))

    wrong = what_is_wrong(forged, [*FLAT, NESTED])

    assert wrong == "is damaged: its footer says 3 rows, its 0 row groups 0; write it again"


def test_every_count_is_compared() -> None:
    """L3: the rows of the file and of a row group, and the values of each flat column; one of them off is damage."""
    flat = footer(TABLE.select(["id", "text"]))

    forged = list(altered(flat, number(ROWS), number(ROWS - 1)))

    assert len(forged) == 4
    for content in forged:
        assert (what_is_wrong(content, FLAT) or "").startswith("is damaged: its footer says "), content
    for content in altered(flat, number(ROWS), number(-ROWS)):
        assert what_is_wrong(content, FLAT)


def test_a_row_group_without_columns_or_of_negative_size() -> None:
    """L3: neither is what a writer means."""
    content = footer(TABLE.select(["id"]))
    size = pq.read_metadata(BytesIO(file_with(content))).row_group(0).total_byte_size

    wrong = [what_is_wrong(forged, FLAT[:1]) for forged in altered(content, number(size), number(-size))]

    assert any("gives row group 0 a size of -" in (line or "") for line in wrong)
    assert "has 2 columns, its row group 0 1" in (what_is_wrong(content, FLAT) or "")


def file_with(content: bytes) -> bytes:
    """A file that has nothing but this footer."""
    return b"PAR1" + content + len(content).to_bytes(4, "little") + b"PAR1"


@pytest.mark.parametrize(
    ("number_of_field", "value", "said"),
    [(1, b"\x18\x01x", "only describes rows of other files"), (8, b"\x1c\x1c\x00\x00", "has encrypted columns")],
)
def test_columns_that_lie_elsewhere_or_are_encrypted(number_of_field: int, value: bytes, said: str) -> None:
    """Said so; pyarrow would end the process if it were asked about an encrypted column."""
    kind = value[0] & 0x0F
    chunk = bytes((kind, number_of_field * 2)) + value[1:] + b"\x00"
    group = b"\x19\x1c" + chunk + number(1) + number(1) + b"\x00"
    content = b"\x36\x02\x19\x1c" + group + b"\x00"

    assert said in (what_is_wrong(content, FLAT[:1]) or "")


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_any_bytes_come_to_an_end(spoilt: bytes, at: int) -> None:
    """A word or None, whatever the bytes are."""
    content = footer(TABLE.select(["id", "text"])[:10])

    wrong = what_is_wrong(content[:at] + spoilt + content[at + len(spoilt) :], FLAT)

    assert wrong is None or wrong.startswith(("is ", "has ", "only "))
