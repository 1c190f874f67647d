"""The lakes that the load bench reads: TPC-H lineitem, prose, many tiny files, one huge row group."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pgpipe.demo.lake import SCHEMA, documented

FIRST, SECOND, THIRD = "2026-01-01", "2026-01-02", "2026-01-03"
PARTS = 8
LINEITEM = """
    create table lineitem (
        l_orderkey bigint, l_partkey bigint, l_suppkey bigint, l_linenumber integer,
        l_quantity numeric(15,2), l_extendedprice numeric(15,2), l_discount numeric(15,2), l_tax numeric(15,2),
        l_returnflag text, l_linestatus text, l_shipdate date, l_commitdate date, l_receiptdate date,
        l_shipinstruct text, l_shipmode text, l_comment text)
"""


def lineitem(folder: Path, scale: str) -> Path:
    """A lake with lineitem in PARTS files."""
    to = folder / f"lineitem-{scale}" / FIRST
    tool = Path(sys.executable).with_name("tpchgen-cli")
    run = [tool, "parquet", "-s", scale, "--tables", "lineitem", "--parts", str(PARTS), "--output-dir", to]
    subprocess.run(list(map(str, run)), check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return to.parent


def prose(folder: Path, lake: str | None, entity: str, key: str, copies: int) -> Path:
    """A lake of prose on three dates: rows, the same in other files, and one in a hundred changed.

    The rows are those of the first date of `lake`, or the standard library's docstrings, `copies` times over.
    """
    if lake:
        dates = sorted(path for path in Path(lake.removeprefix("file://")).iterdir() if (path / entity).is_dir())
        rows = pa.concat_tables([pq.read_table(f) for f in sorted((dates[0] / entity).glob("*.parquet"))])
    else:
        rows = pa.Table.from_pylist([row for _, row in documented()], schema=SCHEMA)
    column = rows.column_names.index(key)
    numbered = [
        rows.set_column(column, key, pc.binary_join_element_wise(rows[key], str(n), "~")) for n in range(copies)
    ]
    whole = pa.concat_tables(numbered)
    text = max(
        (
            f.name
            for f in whole.schema
            if f.name != key and f.type in {pa.string(), pa.large_string(), pa.string_view()}
        ),
        key=lambda name: whole[name].nbytes,
    )
    changed = pa.array([n % 100 == 0 for n in range(len(whole))])
    anew = pc.if_else(
        changed,
        pc.binary_join_element_wise(whole[text].cast(pa.string()), "amended", " "),
        whole[text].cast(pa.string()),
    )
    third = whole.set_column(whole.column_names.index(text), text, anew)
    to = folder / "prose"
    for date, table, files in (
        (FIRST, whole, 4),
        (SECOND, whole.take(list(range(len(whole)))[::-1]), 3),
        (THIRD, third, 4),
    ):
        _write(table, to / date / entity, files)
    return to


def tiny(folder: Path, big: Path, files: int) -> tuple[Path, Path, int]:
    """Lineitem's first rows in so many files, and the same rows in PARTS files; both lakes and the number of rows."""
    source = sorted((big / FIRST).rglob("*.parquet"))
    rows = sum(pq.read_metadata(f).num_rows for f in source)
    each = max(rows // files, 1)
    many, few = folder / "tiny", folder / "tiny-big"
    (many / FIRST / "lineitem").mkdir(parents=True)
    whole = pa.concat_tables([pq.read_table(f) for f in source]).slice(0, each * files)
    for n in range(files):
        pq.write_table(whole.slice(n * each, each), many / FIRST / "lineitem" / f"part-{n:06}.parquet")
    _write(whole, few / FIRST / "lineitem", PARTS)
    return many, few, whole.num_rows


def huge(folder: Path, size: int) -> Path:
    """One file with one row group of about `size` bytes, uncompressed, most of it text."""
    to = folder / "huge" / FIRST / "blob"
    to.mkdir(parents=True)
    letters = random.Random(1)  # the same text each time
    pool = "".join(letters.choices("abcdefghijklmnopqrstuvwxyz ", k=1 << 20))
    text = pa.array([pool[n * 997 % (1 << 19) :][:1000] for n in range(10_000)])
    chunks = size // text.nbytes  # one piece of memory, over and over
    rows = pa.table({"id": range(len(text) * chunks), "body": pa.chunked_array([text] * chunks)})
    pq.write_table(rows, to / "part-0.parquet", row_group_size=len(rows), use_dictionary=False)
    return to.parent.parent


def _write(table: pa.Table, to: Path, files: int) -> None:
    to.mkdir(parents=True)
    share = -(-len(table) // files)
    for n in range(files):
        pq.write_table(table.slice(n * share, share), to / f"part-{n}.parquet")


def remove(lake: Path) -> None:
    """Make room."""
    shutil.rmtree(lake, ignore_errors=True)
