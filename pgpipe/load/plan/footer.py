"""A footer, checked: whether its counts agree, and whether columns are encrypted.

It is read from its bytes. pyarrow ends the whole process if it is asked about an encrypted column.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

# Thrift's compact protocol: the types of values, as far as their lengths differ
BOOLEANS = {1, 2}  # the value is in the type
WHOLE = {4, 5, 6}
LENGTHS = {3: 1, 7: 8, 13: 16}  # a byte, a double, a uuid
BINARY, MAP, STRUCT = 8, 11, 12
LISTS = {9, 10}
MOST_IN_HEADER = 15  # a longer list has its length behind its header
MORE = 0x80  # of a varint: another byte follows

# FileMetaData, RowGroup, ColumnChunk and ColumnMetaData of parquet.thrift
ROWS, ROW_GROUPS = 3, 4
COLUMNS, SIZE, GROUP_ROWS = 1, 2, 3
FILE, METADATA, CRYPTO = 1, 3, 8
VALUES = 5


@dataclass
class Group:
    """A row group, as the footer describes it."""

    rows: int = 0
    size: int = 0
    values: list[int] = field(default_factory=list)  # of each column, NULLs included


@dataclass
class Footer:
    """What is checked of a footer."""

    rows: int = 0
    groups: list[Group] = field(default_factory=list)
    encrypted: bool = False
    elsewhere: bool = False  # its rows lie in other files


def what_is_wrong(content: bytes, columns: list[tuple[str, bool]]) -> str | None:
    """Why a file with this footer cannot be loaded; None if nothing is wrong.

    Args:
        content: the footer, which pyarrow could read.
        columns: the name of each, and whether it may have several values a row.
    """
    try:
        footer = _Reader(content).footer()
    except (LookupError, RecursionError):
        return "is damaged: its footer cannot be read; write it again"
    if footer.encrypted:
        return "has encrypted columns, which pgpipe cannot read; write it unencrypted"
    if footer.elsewhere:
        return "only describes rows of other files, as _metadata does; remove it from the entity's folder"
    disagreement = next(_disagreements(footer, columns), None)
    return disagreement and f"is damaged: its footer {disagreement}; write it again"


def _disagreements(footer: Footer, columns: list[tuple[str, bool]]) -> Iterator[str]:
    rows = [group.rows for group in footer.groups]
    if min([footer.rows, *rows]) < 0 or footer.rows != sum(rows):
        yield f"says {footer.rows:,} rows, its {len(rows)} row groups {sum(rows):,}"
    for number, group in enumerate(footer.groups):
        if len(group.values) != len(columns):
            yield f"has {len(columns)} columns, its row group {number} {len(group.values)}"
        elif group.size < 0:
            yield f"gives row group {number} a size of {group.size:,} bytes"
        for values, (name, several) in zip(group.values, columns, strict=False):
            # A flat column has a value or a NULL for each row, a repeated one at least one.
            if values < group.rows or (values > group.rows and not several):
                yield f"says {group.rows:,} rows in row group {number}, and {values:,} values of {name!r}"


class _Reader:
    """Thrift's compact protocol, from the front. Whatever it reads takes a byte at least, so it comes to an end."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def footer(self) -> Footer:
        found = Footer()
        for name, kind in self._fields():
            if name == ROWS:
                found.rows = self._number()
            elif name == ROW_GROUPS:
                found.groups = [self._group(found) for _ in range(self._list_header()[0])]
            else:
                self._skip(kind)
        return found

    def _group(self, found: Footer) -> Group:
        group = Group()
        for name, kind in self._fields():
            if name == COLUMNS:
                group.values = [self._values(found) for _ in range(self._list_header()[0])]
            elif name == SIZE:
                group.size = self._number()
            elif name == GROUP_ROWS:
                group.rows = self._number()
            else:
                self._skip(kind)
        return group

    def _values(self, found: Footer) -> int:
        """How many values a column chunk has."""
        values = -1
        for name, kind in self._fields():
            if name == METADATA:
                for inner, inner_kind in self._fields():
                    if inner == VALUES:
                        values = self._number()
                        self._skip_struct()  # what is left of it
                        break
                    self._skip(inner_kind)
            else:
                found.encrypted |= name == CRYPTO
                found.elsewhere |= name == FILE
                self._skip(kind)
        return values

    def _fields(self) -> Iterator[tuple[int, int]]:
        """The fields of a struct, as number and type; the value of each must be read or skipped before the next."""
        name = 0
        while header := self._byte():
            name = name + (header >> 4) if header >> 4 else self._number()
            yield name, header & 0x0F

    def _list_header(self) -> tuple[int, int]:
        """Length and type of a list."""
        header = self._byte()
        size = header >> 4
        return (self._unsigned() if size == MOST_IN_HEADER else size), header & 0x0F

    def _skip(self, kind: int) -> None:
        """Move past a value."""
        if kind in WHOLE:
            self._unsigned()
        elif kind == BINARY:
            size = self._unsigned()
            self._at += size
        elif kind == STRUCT:
            self._skip_struct()
        elif kind in LISTS:
            size, inner = self._list_header()
            for _ in range(size):
                self._skip_element(inner)
        elif kind == MAP:
            size = self._unsigned()
            kinds = self._byte() if size else 0
            for _ in range(size):
                self._skip_element(kinds >> 4)
                self._skip_element(kinds & 0x0F)
        elif kind not in BOOLEANS:
            self._at += LENGTHS[kind]

    def _skip_struct(self) -> None:
        """Move past the fields that a struct has from here on; most of a footer's bytes are passed here."""
        content, at = self._content, self._at
        while header := content[at]:
            at += 1
            kind = header & 0x0F
            if header == kind:  # the field's number follows
                while content[at] & MORE:
                    at += 1
                at += 1
            if kind in WHOLE:
                while content[at] & MORE:
                    at += 1
                at += 1
            elif kind == BINARY and content[at] < MORE:
                at += content[at] + 1
            else:
                self._at = at
                self._skip(kind)
                at = self._at
        self._at = at + 1

    def _skip_element(self, kind: int) -> None:
        if kind in BOOLEANS:  # outside of a struct it takes a byte
            self._byte()
        else:
            self._skip(kind)

    def _byte(self) -> int:
        self._at += 1
        return self._content[self._at - 1]

    def _number(self) -> int:
        """A whole number, written in zigzag."""
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _unsigned(self) -> int:
        value = shift = 0
        while (byte := self._byte()) & MORE:
            value |= (byte & ~MORE) << shift
            shift += 7
        return value | byte << shift
