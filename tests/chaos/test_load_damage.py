"""Files that are damaged or lie: the load names them, the target stays as it was, and memory stays bounded."""

import itertools
import struct
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pgpipe.db import Database
from tests.chaos.support import MODES, NEWER, OLDER, ROWS, agrees, build, items, run, state
from tests.fixtures.examples import one_in

HUGE = 10**12


def zigzag(number: int) -> bytes:
    """A number as Thrift's compact protocol writes it."""
    left = number * 2
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes((*found, left))


def corrupt_page(file: Path) -> None:
    """A byte in the middle of a page is another; only the page's checksum can tell."""
    pq.write_table(items(0, ROWS, "x"), file, compression="none", use_dictionary=False, write_page_checksum=True)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def corrupt_compressed_page(file: Path) -> None:
    """Bytes in the middle of a compressed page are zero."""
    pq.write_table(items(0, ROWS, "x"), file, compression="zstd")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 64] = bytes(64)
    file.write_bytes(content)


def long_footer(file: Path) -> None:
    """The footer claims two gigabytes for itself."""
    content = file.read_bytes()
    file.write_bytes(content[:-8] + struct.pack("<I", 0x7FFF_FFFF) + b"PAR1")


def many_rows(file: Path) -> None:
    """The footer claims a million million rows, in the file and in each row group and column."""
    rows = 9_973
    pq.write_table(items(0, rows, "x"), file)
    content = file.read_bytes()
    size = int.from_bytes(content[-8:-4], "little")
    body, footer = content[: -8 - size], content[-8 - size : -8]
    forged = footer.replace(zigzag(rows), zigzag(HUGE))
    assert forged != footer
    file.write_bytes(body + forged + struct.pack("<I", len(forged)) + b"PAR1")


def large_page(file: Path) -> None:
    """The header of the first page claims that it becomes two gigabytes."""
    pq.write_table(items(0, ROWS, "x"), file, compression="snappy", use_dictionary=False)
    content = file.read_bytes()
    at = pq.read_metadata(file).row_group(0).column(2).data_page_offset
    assert content[at : at + 2] == b"\x15\x00"  # field 1, the type: a data page; then field 2, its size uncompressed
    end = at + 3
    while content[end] & 0x80:
        end += 1
    file.write_bytes(content[: at + 3] + zigzag(0x7FFF_FFF0) + content[end + 1 :])


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "corrupt page": (corrupt_page, "CRC checksum verification failed"),
    "corrupt compressed page": (corrupt_compressed_page, "part-2.parquet cannot be read"),
    "long footer": (long_footer, "its footer claims a length of 2,147,483,655 bytes"),
    "many rows": (many_rows, "part-2.parquet"),
    "large page": (large_page, "part-2.parquet cannot be read"),
}


@pytest.mark.parametrize(("damage", "mode"), one_in(7, itertools.product(DAMAGE, MODES)))
def test_a_damaged_file(damage: str, mode: str, database: Database, tmp_path: Path) -> None:
    """It is named in one line; nothing of it is in the target; whole again, it is loaded by the next run."""
    url = build(tmp_path / "lake")
    day = OLDER if mode == "first load" else NEWER
    if mode != "first load":
        assert run(database, url, *MODES[mode], "--date", OLDER).code == 0
    file = tmp_path / "lake" / day / "item" / "part-2.parquet"
    whole = file.read_bytes()
    spoil, message = DAMAGE[damage]
    spoil(file)
    with database.connect(autocommit=True) as conn:
        before = state(conn)
        failed = run(database, url, *MODES[mode], "--date", day)

        assert (failed.code, failed.said.count("\n")) == (1, 1), failed.said
        assert "part-2.parquet" in failed.said
        assert message in failed.said
        assert agrees(conn, MODES[mode][1])
        if mode != "append":
            assert state(conn) == before
        file.write_bytes(whole)
        again = run(database, url, *MODES[mode], "--date", day)
        assert again.code == 0, again.said
        assert agrees(conn, MODES[mode][1])
        files = {"first load": 4, "merge": 5, "append": 9}[mode]
        assert (state(conn) or (0,))[0] == files * ROWS
