"""What the ledger says of files: which of them the target holds, and whether a snapshot is the one it holds."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from functools import cached_property

from pgpipe.db import Connection, translated
from pgpipe.secret import address
from pgpipe.source import File
from pgpipe.source.identity import distrust
from pgpipe.source.layout import EntityFiles
from pgpipe.target import Target

Day = date  # where a field has the name of its type
LEDGER = """
    select f.file, f.etag, f.bytes, f.date, l.started_at, f.read - f.rejected, l.replaced
      from pgpipe.load_file f join pgpipe.load l using (load_id)
     where f.schema = %s and f.entity = %s
"""


@dataclass(frozen=True)
class Entry:
    """A file in the ledger."""

    file: str
    identity: str
    bytes: int
    date: date
    begun: datetime  # when its load did
    rows: int = 0  # that were read, less those rejected
    replaced: Day | None = None  # the newest date that its load rolled back

    def is_of(self, file: File) -> bool:
        """Whether this is the version that was listed."""
        if (self.file, self.bytes) != (file.uri, file.bytes):
            return False
        if self.identity in {file.identity, file.versioned}:
            return True
        # Written when its ETag was trusted still: it holds, if the file has not changed since.
        return not file.strong and self.identity == file.etag and file.modified <= self.begun


class Ledger:
    """The files whose rows are in a target."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = tuple(entries)
        self._by_file: dict[str, list[Entry]] = {}
        for entry in self.entries:
            self._by_file.setdefault(entry.file, []).append(entry)

    def __len__(self) -> int:
        return len(self.entries)

    @cached_property
    def dates(self) -> frozenset[date]:
        """The dates of the files. A look at a source asks for them once a date."""
        return frozenset(entry.date for entry in self.entries)

    @cached_property
    def replaced(self) -> date | None:
        """The newest date that was in the target before it was rolled back to what it holds."""
        return max(filter(None, (entry.replaced for entry in self.entries)), default=None)

    def holds(self, file: File) -> bool:
        """Whether the rows of this version of a file are in the target."""
        return any(entry.is_of(file) for entry in self._by_file.get(file.uri, ()))

    def rows(self, files: Iterable[File]) -> int:
        """How many rows of these files, of those that the target holds, were read and not rejected."""
        return sum(next((e.rows for e in self._by_file.get(file.uri, ()) if e.is_of(file)), 0) for file in files)

    def judged(self, files: EntityFiles) -> EntityFiles:
        """The files; those whose ETag the ledger knows with another size are not trusted to be the same bytes."""
        return replace(files, files=distrust(files.files, ((entry.identity, entry.bytes) for entry in self.entries)))

    def is_same_snapshot(self, files: EntityFiles) -> bool:
        """Whether these are the bytes that the target holds, in the same hive folders of another date."""
        if not all(file.strong for file in files.files):
            return False
        held = Counter((entry.identity, entry.bytes, _folders(entry.file, files.entity)) for entry in self.entries)
        return held == Counter((file.etag, file.bytes, _folders(file.uri, files.entity)) for file in files.files)


def read_ledger(conn: Connection, target: Target) -> Ledger:
    """The ledger of a target; what 0.1.0 entered with a password is known by the address without it."""
    with translated():
        return Ledger(Entry(address(file), *row) for file, *row in conn.execute(LEDGER, target.pair))


def _folders(uri: str, entity: str) -> Sequence[str]:
    _, _, below = uri.partition(f"/{entity}/")
    return tuple(folder for folder in below.split("/")[:-1] if "=" in folder)
