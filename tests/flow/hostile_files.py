"""Parquet files that are small and become large: each says how many rows of it are loaded."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MIB = 1 << 20
LONG = 40_000
Make = Callable[[Path], int]
MAKERS: dict[str, Make] = {}
ALONE: dict[str, Any] = {"use_dictionary": False, "write_batch_size": 1}  # a page for each value
ZSTD: dict[str, Any] = {"compression": "zstd", "store_schema": False}


def hostile(make: Make) -> Make:
    """Enter a maker in the table, by its name."""
    MAKERS[make.__name__] = make
    return make


@dataclass(frozen=True)
class Shared:
    """Rows that share a few values."""

    rows: int
    values: pa.Array

    def array(self) -> pa.Array:
        """With a dictionary."""
        return pa.DictionaryArray.from_arrays(
            pa.array(np.arange(self.rows, dtype=np.int32) % len(self.values)), self.values
        )


def long_texts(rows: int, size: int = LONG) -> pa.Array:
    """Rows that share two texts."""
    return Shared(rows, pa.array(["long text " * (size // 10), "other text " * (size // 11)])).array()


def write(file: Path, columns: dict[str, pa.Array], **how: Any) -> int:
    """In one row group unless said otherwise; returns the number of rows."""
    table = pa.table(columns)
    pq.write_table(table, file, **{"row_group_size": table.num_rows} | ZSTD | how)
    return table.num_rows


@hostile
def shared_text(file: Path) -> int:
    """K12: every row has one of two long texts, which the file holds once."""
    return write(file, {"t": long_texts(10_000)})


@hostile
def shared_text_as_categories(file: Path) -> int:
    """The same, read as Arrow's dictionaries, as pandas writes categories."""
    return write(file, {"t": long_texts(10_000)}, store_schema=True)


@hostile
def shared_text_as_large_strings(file: Path) -> int:
    """With offsets of 64 bits, and as views."""
    texts = Shared(5_000, long_texts(2).dictionary_decode().cast(pa.large_string())).array()
    kind = pa.dictionary(pa.int32(), pa.string_view())
    schema = pa.schema({"t": texts.type, "v": kind.value_type})
    views = long_texts(2_000).dictionary_decode().cast(pa.string_view())
    write(file, {"v": views}, store_schema=True)
    table = pa.table({"t": texts.slice(0, 2_000).dictionary_decode(), "v": views})
    pq.write_table(table.cast(schema.set(0, pa.field("t", pa.large_string()))), file, compression="zstd")
    return 2_000


@hostile
def shared_text_in_lists(file: Path) -> int:
    """Each row has a hundred long texts."""
    count = 200
    texts = long_texts(100 * count, LONG // 4)
    offsets = pa.array(np.arange(count + 1, dtype=np.int32) * 100)
    return write(file, {"l": pa.ListArray.from_arrays(offsets, texts)})


@hostile
def shared_beginnings(file: Path) -> int:
    """Each text is the one before and a letter more (DELTA_BYTE_ARRAY)."""
    texts = pa.array(["long text " * (LONG // 10) + "x" * (n % 100) for n in range(10_000)])
    return write(file, {"t": texts}, use_dictionary=False, column_encoding={"t": "DELTA_BYTE_ARRAY"})


@hostile
def many_small_files(file: Path) -> int:
    """Files that are read whole and share batches."""
    for n in range(40):
        write(file.with_name(f"{n}.parquet"), {"t": long_texts(400)})
    return 40 * 400


@hostile
def few_huge_values(file: Path) -> int:
    """Texts of 16 MB."""
    return write(file, {"t": pa.array(["sixteen bytes ok" * MIB] * 12)}, **ALONE)


@hostile
def huge_values_that_do_not_shrink(file: Path) -> int:
    """Bytes of 16 MB without pattern."""
    random = np.random.default_rng(1)
    with pq.ParquetWriter(file, pa.schema({"b": pa.binary()}), compression="none", **ALONE) as writer:
        values = pa.array([random.bytes(16 * MIB) for _ in range(4)])
        writer.write_table(pa.table({"b": pa.concat_arrays([values] * 3)}))
    return 12


@hostile
def huge_values_among_small_ones(file: Path) -> int:
    """The mean of the row group says nothing of them."""
    texts = ["small"] * 100_000 + ["sixteen bytes ok" * MIB] * 12 + ["small"] * 1000
    return write(file, {"n": pa.array(range(len(texts))), "t": pa.array(texts)}, **ALONE)


@hostile
def long_lists(file: Path) -> int:
    """Lists of a million small numbers, a few bytes each in the file."""
    numbers = pa.array(np.arange(20 * 1_000_000, dtype=np.int32) // 1_000_000)
    return write(file, {"l": pa.ListArray.from_arrays(np.arange(21, dtype=np.int32) * 1_000_000, numbers)})


@hostile
def long_lists_among_short_ones(file: Path) -> int:
    """The mean says nothing of them."""
    lengths = np.concatenate([np.ones(100_000, np.int32), np.full(20, 1_000_000, np.int32), np.ones(1000, np.int32)])
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return write(file, {"l": pa.ListArray.from_arrays(offsets, pa.array(np.zeros(offsets[-1], np.int32)))})


@hostile
def long_lists_as_json(file: Path) -> int:
    """A list of lists of a million small numbers in all."""
    count = 12
    inner = pa.ListArray.from_arrays(
        np.arange(count * 1000 + 1, dtype=np.int32) * 1000, pa.array(np.arange(count * 1_000_000, dtype=np.int32) % 7)
    )
    return write(file, {"l": pa.ListArray.from_arrays(np.arange(count + 1, dtype=np.int32) * 1000, inner)})


@hostile
def names_as_json(file: Path) -> int:
    """Structs without values, whose names alone are 6 kB in each row as JSON."""
    fields = [pa.nulls(20_000, pa.int8()) for _ in range(100)]
    return write(file, {"s": pa.StructArray.from_arrays(fields, [f"{n:03}_" + "name" * 14 for n in range(100)])})


@hostile
def deep_structs(file: Path) -> int:
    """Thirty levels, of a text of 1 kB that all rows share."""
    array: pa.Array = Shared(20_000, pa.array(["t" * 1000, "u" * 1000])).array().dictionary_decode()
    for n in range(30):
        array = pa.StructArray.from_arrays([array], [f"level_{n}"])
    return write(file, {"s": array})


@hostile
def maps(file: Path) -> int:
    """Maps whose keys and values all rows share."""
    count = 2_000
    keys = Shared(count * 20, pa.array([f"{n}" * 1000 for n in range(10, 30)])).array()
    values = long_texts(count * 20, 4000)
    offsets = np.arange(count + 1, dtype=np.int32) * 20
    return write(file, {"m": pa.MapArray.from_arrays(offsets, keys.dictionary_decode(), values.dictionary_decode())})


@hostile
def bytes_within_structs(file: Path) -> int:
    """Bytes of 8 MB, which are 16 MB as JSON."""
    return write(file, {"s": pa.StructArray.from_arrays([pa.array([bytes(8 * MIB)] * 12)], ["b"])}, **ALONE)


@hostile
def pages_that_shrink_to_nothing(file: Path) -> int:
    """Pages of 16 MB from 2 kB."""
    texts = pa.array(["hundred of" * 10] * 500_000)
    return write(
        file, {"t": texts, "u": texts}, use_dictionary=False, data_page_size=16 * MIB, write_batch_size=200_000
    )


@hostile
def many_columns(file: Path) -> int:
    """Ten thousand: PostgreSQL takes 1,600."""
    write(file, {f"c{n}": pa.array([n] * 100) for n in range(10_000)})
    return 0


@hostile
def columns_to_the_limit(file: Path) -> int:
    """So many as PostgreSQL takes, nearly."""
    return write(file, {f"c{n}": pa.array([True] * 2_000) for n in range(1_500)})


@hostile
def one_huge_row_group(file: Path) -> int:
    """With texts that do not shrink."""
    random = np.random.default_rng(1)
    digits = pa.array([random.bytes(100).hex() for _ in range(50_000)])
    texts = pa.chunked_array([digits] * 10)
    return write(file, {"n": pa.array(range(500_000)), "t": texts, "u": texts}, use_dictionary=False)


@hostile
def runs_of_nulls(file: Path) -> int:
    """Two million rows of nothing in a few bytes."""
    return write(file, {"a": pa.nulls(2_000_000, pa.string()), "b": pa.nulls(2_000_000, pa.list_(pa.int64()))})


@hostile
def tiny_row_groups(file: Path) -> int:
    """Two thousand."""
    return write(file, {"n": pa.array(range(10_000)), "t": pa.array(["text"] * 10_000)}, row_group_size=5)


@hostile
def decimals_and_uuids(file: Path) -> int:
    """Runs of what is larger on its way than in the file."""
    count = 300_000
    wide = pa.array([Decimal("9" * 76), None], pa.decimal256(76, 0))
    ids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * count, pa.binary(16)))
    lists = pa.ListArray.from_arrays(np.arange(count // 10 + 1, dtype=np.int32) * 10, ids)
    some = {"d": pa.concat_arrays([wide] * (count // 20)), "l": lists, "u": ids.slice(0, count // 10)}
    return write(file, some, store_schema=True)
