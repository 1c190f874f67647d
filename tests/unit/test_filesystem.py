"""Filesystems of fsspec: what identifies a file, by what each of them states."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pgpipe.errors import SourceError
from pgpipe.source.filesystem import FilesystemSource

HASH = "9b2cf535f27731c974343645a3985328"
SECONDS = 1_700_000_000
WRITTEN = datetime.fromtimestamp(SECONDS, UTC)


@pytest.mark.parametrize(
    ("stated", "etag", "strong"),
    [
        ({"etag": "CKih16GjycICEAE=", "mtime": WRITTEN}, "CKih16GjycICEAE=", True),
        ({"ETag": f'"{HASH}"', "LastModified": WRITTEN}, f'"{HASH}"', True),
        ({"ETag": "", "versionId": "null", "LastModified": WRITTEN}, f"10-{WRITTEN.isoformat()}", False),
        ({"ETag": "not a hash", "LastModified": WRITTEN}, "not a hash", False),
        ({"generation": "17", "updated": WRITTEN.isoformat()}, "17", False),
        ({"mtime": SECONDS}, f"10-{WRITTEN.isoformat()}", False),
        ({"modificationTime": SECONDS * 1000}, f"10-{WRITTEN.isoformat()}", False),
    ],
)
def test_what_identifies_a_file(stated: dict[str, Any], etag: str, strong: bool) -> None:
    """L4: size and time, or the version of one file, never make two files the same."""
    file = FilesystemSource("memory://lake")._file("/lake/a", {"size": 10, **stated})

    assert (file.etag, file.strong, file.modified) == (etag, strong, WRITTEN)


def test_a_file_of_which_nothing_is_stated() -> None:
    """L4: is refused, as nobody could tell that it was overwritten."""
    with pytest.raises(SourceError, match="memory://lake/a: the filesystem states no ETag, checksum or time"):
        FilesystemSource("memory://lake")._file("/lake/a", {"size": 10, "modify": "20260101000000"})
