"""Finding a key in the files of a date: footers rule columns out, then single columns and pairs are looked at."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from math import ceil
from threading import Lock
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as at

from pgpipe.errors import PgpipeError
from pgpipe.load.plan.bounds import ends
from pgpipe.load.plan.keys import Proposal
from pgpipe.load.plan.parts import Column, Part, Shape
from pgpipe.load.rows.kernels import Array, pc, types_removed
from pgpipe.load.rows.read import Footer, read_batches, row_groups
from pgpipe.source import Source

MOST_ROWS = 1_000_000  # looked at for one proposal
MOST_BYTES = 64 << 20  # of their values
MOST_GROUPS = 200  # row groups, each of which is a request or more
SINGLES, PAIRS = 8, 10  # that are tried
LUCK = 100  # among fewer rows any column may have no value twice
PROSE = 40  # bytes: a column of longer values is proposed only if its name says that it identifies a row
INTEGERS = {"smallint", "integer", "bigint"}
WORDS = {"id", "uuid", "guid", "key", "code", "sku", "isbn", "ean", "gtin", "asin", "number", "no", "nr"}
OWN = {"id", "uuid", "guid", "key"}
UNNAMED = 2  # rank of a column whose name says nothing


@dataclass
class Hints:
    """What footers say of columns, by their names in the files."""

    rows: int = 0
    empty: set[str] = field(default_factory=set)  # have a NULL
    spans: dict[str, tuple[int, int]] = field(default_factory=dict)  # of whole numbers
    unknown: set[str] = field(default_factory=set)  # a row group does not say its span
    _lock: Lock = field(default_factory=Lock)

    def take(self, metadata: pq.FileMetaData) -> None:
        """Add those of a file; several threads may at once."""
        with self._lock:
            self.rows += metadata.num_rows
            for number in range(metadata.num_row_groups):
                group = metadata.row_group(number)
                for index in range(group.num_columns):
                    self._take(metadata.schema.column(index).path, group.column(index).statistics)

    def _take(self, name: str, found: Any) -> None:  # noqa: ANN401 - pyarrow's stubs do not name it
        if found is not None and found.has_null_count and found.null_count:
            self.empty.add(name)
        least, greatest = ends(found)
        if type(least) is not int or type(greatest) is not int:
            self.unknown.add(name)
            return
        before = self.spans.get(name, (least, greatest))
        self.spans[name] = min(least, before[0]), max(greatest, before[1])

    def exclude(self, names: set[str], *, together: bool) -> bool:
        """Whether a column of these names in the files cannot be unique and not null, or only not be null."""
        if names & self.empty:
            return True
        if together or len(names) > 1 or names & self.unknown or not names <= self.spans.keys():
            return False
        least, greatest = self.spans[next(iter(names))]
        return greatest - least + 1 < self.rows  # more rows than values that there can be


@dataclass(frozen=True)
class Seen:
    """What a look at columns found."""

    rows: int
    bytes: int
    unique: bool
    filled: bool


def propose(
    source: Source, entity: str, parts: Sequence[Part], columns: Sequence[Column], hints: Hints
) -> Proposal | None:
    """What may be the key of rows that have none; None if nothing is found.

    Args:
        source: of the files.
        entity: its name.
        parts: all files of the date, as they are configured.
        columns: as the target will have them.
        hints: what their footers say.
    """
    try:
        return _Search(source, entity, [part for part in parts if sum(part.rows)], hints).propose(columns)
    except PgpipeError:  # the load itself will say it
        return None
    finally:
        pa.default_memory_pool().release_unused()  # the load has a bound of its own


class _Search:
    def __init__(self, source: Source, entity: str, parts: list[Part], hints: Hints) -> None:
        self._source, self._entity, self._parts, self._hints = source, entity, parts, hints
        self._rows = sum(sum(part.rows) for part in parts)

    def propose(self, columns: Sequence[Column]) -> Proposal | None:
        if self._rows <= 1:  # any column is unique
            return None
        ranks = {c.name: self._rank(c) for c in columns if may_identify(c) and self._is_everywhere(c.name)}
        ranked = sorted(ranks, key=lambda name: ranks[name])
        filled = [name for name in ranked if not self._hints.exclude(self._sources(name), together=True)]
        for name in self._singles(filled, ranks):
            seen = self._look((name,))
            if seen.unique and (ranks[name] < UNNAMED or seen.bytes <= PROSE * seen.rows):
                return Proposal((name,), seen.rows, self._rows)
            if not seen.filled:
                filled.remove(name)
        for pair in self._pairs(filled, ranks):
            seen = self._look(pair)
            if seen.unique:
                return Proposal(pair, seen.rows, self._rows)
        return None

    def _rank(self, column: Column) -> int:
        name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", column.name).lower()
        entity = self._entity.lower()
        if name in OWN or (name.endswith("_id") and name.removesuffix("_id") in {entity, entity.removesuffix("s")}):
            return 0
        if re.split(r"[\W_]+", name)[-1] in WORDS:
            return 1
        return UNNAMED + (column.sql == "date")

    def _is_everywhere(self, name: str) -> bool:
        return all(name in part.schema.names for part in self._parts)

    def _is_constant(self, name: str) -> bool:
        return any(name == constant for constant, _ in self._parts[0].constants)

    def _sources(self, name: str) -> set[str]:
        """The names that a column has in the files."""
        shapes = [(part, part.shape) for part in self._parts]
        return {p.before[s.reads[s.names.index(name)]] if s and name in s.names else name for p, s in shapes}

    def _singles(self, filled: list[str], ranks: dict[str, int]) -> list[str]:
        names = [n for n in filled if not self._is_constant(n) and (ranks[n] < UNNAMED or self._rows >= LUCK)]
        return [n for n in names if not self._hints.exclude(self._sources(n), together=False)][:SINGLES]

    def _pairs(self, filled: list[str], ranks: dict[str, int]) -> list[tuple[str, str]]:
        """Those of which a name says that it identifies something, the best names first."""
        found = [
            (one, other)
            for one, other in combinations(filled, 2)
            if ranks[one] < UNNAMED and not (self._is_constant(one) and self._is_constant(other))
        ]
        return sorted(found, key=lambda pair: ranks[pair[0]] + ranks[pair[1]])[:PAIRS]

    def _look(self, names: tuple[str, ...]) -> Seen:
        """Read columns alone, until a value is there twice, or enough rows were looked at."""
        taken: list[pa.Table] = []
        rows = size = due = 0
        for table in self._tables(names):
            rows, size = rows + table.num_rows, size + table.nbytes
            if any(column.null_count for column in table.columns):
                return Seen(rows, size, unique=False, filled=False)
            taken.append(table)
            if rows >= due:
                if _doubled(taken):
                    return Seen(rows, size, unique=False, filled=True)
                due = 4 * rows
            if rows >= MOST_ROWS or size >= MOST_BYTES:
                break
        return Seen(rows, size, unique=not _doubled(taken), filled=True)

    def _tables(self, names: tuple[str, ...]) -> Iterator[pa.Table]:
        groups = row_groups(alone(part, names) for part in self._parts)
        step = ceil(max(1, self._rows / MOST_ROWS, len(groups) / MOST_GROUPS))
        footer = Footer()
        for group in groups[::step]:
            for rows in read_batches(self._source, group, footer):
                yield pa.table({name: _plain(rows.column(name)) for name in names})


def may_identify(column: Column) -> bool:
    """Whether values of the type may be a key, and differ in the target if they do in the files."""
    if column.kind:  # another type than that of the files
        return {column.kind.base, *column.files} <= INTEGERS or {column.kind.base, *column.files} == {"text"}
    if len(column.files) != 1 and not set(column.files) <= INTEGERS:
        return False
    return column.sql in {*INTEGERS, "text", "uuid", "date"} or bool(re.fullmatch(r"numeric\(\d+,0\)", column.sql))


def alone(part: Part, names: Sequence[str]) -> Part:
    """A file of which only these columns are read, as they are there."""
    own = len(part.schema) - len(part.constants)
    shape = part.shape or Shape(tuple(range(own)), tuple(part.schema.names[:own]))
    chosen = sorted(shape.names.index(name) for name in names if name in shape.names)
    reads = Shape(tuple(shape.reads[n] for n in chosen), tuple(shape.names[n] for n in chosen))
    return replace(part, shape=reads, constants=tuple(c for c in part.constants if c[0] in names))


def _plain(array: Array) -> Array:
    """Of one type in all files."""
    array = types_removed(array)
    if at.is_string(array.type):
        return array.cast(pa.large_string())
    if at.is_date64(array.type):
        return array.cast(pa.date32())
    return array.cast(pa.int64()) if at.is_integer(array.type) and not at.is_uint64(array.type) else array


def _doubled(tables: list[pa.Table]) -> bool:
    try:
        table = pa.concat_tables(tables).combine_chunks()
    except pa.ArrowInvalid:  # decimals of two widths
        return True
    first, *others = (column.chunk(0) for column in table.columns)
    for other in others:  # two numbers make one; grouping by both takes several times as long
        one, two = pc.dictionary_encode(first), pc.dictionary_encode(other)
        first = pa.array(one.indices.to_numpy().astype("int64") * len(two.dictionary) + two.indices.to_numpy())
    return len(pc.unique(first)) < table.num_rows
