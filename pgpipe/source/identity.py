"""Whether an ETag tells the bytes of a file apart from other bytes, and what stands in for one that does not."""

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from pgpipe.source import File

HASH = re.compile(r"[0-9a-f]{32,128}(-\d+)?", re.IGNORECASE)  # -2: of an upload in two parts
OF_NOTHING = {"d41d8cd98f00b204e9800998ecf8427e", "0" * 32}  # servers that compute no hash send these for any bytes
RECENT = timedelta(minutes=2)  # leaves room for clocks that differ
SECOND = 1.1


def is_hash(etag: str, size: int) -> bool:
    """Whether a server's ETag looks as if it changed with the bytes; an empty or a weak one (`W/`) does not."""
    return HASH.fullmatch(etag) is not None and not (size and etag.lower() in OF_NOTHING)


def distrust(files: Sequence[File], known: Iterable[tuple[str, int]] = ()) -> tuple[File, ...]:
    """The files, those not trusted any more whose ETag also stands for bytes of another size.

    Args:
        files: as they were listed.
        known: other ETags and sizes that the same source has stated.
    """
    sizes: dict[str, set[int]] = defaultdict(set)
    for etag, size in [*((file.etag, file.bytes) for file in files), *known]:
        sizes[etag].add(size)
    return tuple(replace(file, strong=False) if len(sizes[file.etag]) > 1 else file for file in files)


def let_settle(files: Iterable[File], now: datetime) -> None:
    """Wait until the second is over in which a file was written that only its size and time identify.

    Many sources state whole seconds: a file that is written twice in one would look the same both times.
    """
    if any(not f.strong and not f.modified.microsecond and abs(now - f.modified) < RECENT for f in files):
        time.sleep(SECOND)
