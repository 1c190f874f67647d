"""Files as a plan sees them: columns, what footers say, and what becomes of both."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pgpipe.errors import DataError
from pgpipe.load.kinds import Kind
from pgpipe.settings.entity import Bad
from pgpipe.source import File

if TYPE_CHECKING:  # a plan that reads no file does without
    import pyarrow as pa

NAME_BYTES = 63  # NAMEDATALEN - 1
SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}  # every table has them
Reader = Callable[[Any, str], Any]  # texts, an Arrow array, and the name of a type → field bytes


@dataclass(frozen=True)
class Column:
    """A column as the target will have it."""

    name: str
    sql: str
    kind: Kind | None = None  # of a type that the target or the user gives
    files: tuple[str, ...] = ()  # the types that the files alone would give it
    untyped: bool = False  # the files hold only nulls, and no type was given: another may follow
    read: bool = False  # values are read by the input function of the type
    reader: Reader | None = field(default=None, compare=False)  # that asks it
    required: bool = False  # NOT NULL
    bad: Bad = "error"  # what happens to a value that cannot be stored
    most: int = 0  # bytes that a value may have; 0: any
    careful: bool = False  # also check what the server would find
    indexed: bool = False  # also check that an index takes it
    codec: str | None = None  # of a database that is not UTF8, to check with

    @property
    def sent(self) -> str:
        """The type in whose form values are sent."""
        return self.kind.base if self.kind else self.sql

    @property
    def labels(self) -> tuple[str, ...]:
        """Of an enum."""
        return self.kind.labels if self.kind else ()


@dataclass(frozen=True)
class Shape:
    """What of a file's own columns is read, and what becomes of them before a byte leaves the machine."""

    reads: tuple[int, ...]  # the numbers of those that are read
    names: tuple[str, ...]  # what these are called in the target
    hashed: frozenset[str] = frozenset()  # by those names
    secret: bytes = field(default=b"", repr=False)


@dataclass(frozen=True)
class Part:
    """A file with what its footer says."""

    file: File
    schema: "pa.Schema"
    rows: tuple[int, ...]  # of each row group
    bytes: tuple[int, ...]  # of each row group, uncompressed
    constants: tuple[tuple[str, str | None], ...] = ()  # columns that its path gives to all of its rows
    extremes: tuple[tuple[int, str], ...] = ()  # of the column that the target is partitioned by, see bounds
    shape: Shape | None = None  # None: all columns, as they are
    before: tuple[str, ...] = ()  # names of the columns before they were shaped
    content: "pa.Buffer | None" = field(default=None, repr=False, compare=False)  # the whole file, if it was kept


@dataclass(frozen=True)
class Evolution:
    """What the target's table must become before rows are staged."""

    add: tuple[Column, ...] = ()
    widen: tuple[Column, ...] = ()


@dataclass(frozen=True)
class RowGroup:
    """A row group of a file: what a connection takes at a time."""

    part: Part
    number: int  # within the file

    @property
    def rows(self) -> int:
        """As the footer says."""
        return self.part.rows[self.number]

    @property
    def bytes(self) -> int:
        """Uncompressed, as the footer says."""
        return self.part.bytes[self.number]

    @property
    def place(self) -> tuple[str, int]:
        """What tells it from all others: its file and its number."""
        return self.part.file.uri, self.number


def check_name(name: str, what: str, where: str) -> None:
    """Refuse a name that PostgreSQL would not keep as it is.

    Raises:
        DataError: it is empty, holds a NUL, is taken by a system column, or is longer than 63 bytes (PostgreSQL would
            cut it, and two could meet).
    """
    size = len(name.encode("utf-8", "surrogatepass"))
    advice = "set `rename` or `exclude` for it" if what == "column" else "rename it at the source"
    if not name or "\0" in name:
        raise DataError(f"{where}: a {what} is named {name!r}, which PostgreSQL does not allow")
    if what == "column" and name in SYSTEM_COLUMNS:
        raise DataError(f"{where}: a column is named {name!r}, which PostgreSQL keeps for itself; {advice}")
    if size > NAME_BYTES:
        raise DataError(
            f"{where}: the {what} name {name!r} has {size} bytes; PostgreSQL keeps {NAME_BYTES} and would confuse it"
            f" with others; {advice}"
        )
