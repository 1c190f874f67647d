"""The columns that files have, with every type that one of them has for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pgpipe.errors import DataError
from pgpipe.load import fit, types
from pgpipe.load.kinds import Hollow
from pgpipe.load.plan.parts import Column, Part, check_name
from pgpipe.source import File


@dataclass(frozen=True)
class Sight:
    """A type that a column has in a file."""

    sql: str
    hollow: Hollow
    file: File  # the first that has it


@dataclass(frozen=True)
class Found:
    """A column of the files: its types, in order of first sight."""

    name: str
    sights: tuple[Sight, ...]

    @property
    def typed(self) -> tuple[Sight, ...]:
        """Those that say what its values are."""
        return tuple(sight for sight in self.sights if not sight.hollow)

    @property
    def types(self) -> tuple[str, ...]:
        """Their column types, each once; of a column without a value none."""
        return tuple(dict.fromkeys(sight.sql for sight in self.typed))


def find_columns(parts: Sequence[Part]) -> list[Found]:
    """The columns of all files, in order of first sight.

    Raises:
        DataError: a name or a type cannot be kept; the message names column and file.
    """
    seen: dict[str, dict[tuple[str, Hollow], Sight]] = {}
    before = None
    for part in parts:
        if before is not None and part.schema.equals(before, check_metadata=True):
            continue  # as the file before: with thousands of them the comparison of names and types would show
        before = part.schema
        for name, sight in _columns(part):
            seen.setdefault(name, {}).setdefault((sight.sql, sight.hollow), sight)
    if not seen:
        raise DataError(f"{parts[0].file.uri} has no columns")
    return [Found(name, tuple(sights.values())) for name, sights in seen.items()]


def _columns(part: Part) -> Iterator[tuple[str, Sight]]:
    seen = set()
    for field in part.schema:
        check_name(field.name, "column", part.file.uri)
        if field.name in seen:
            raise DataError(f"{part.file.uri} has two columns named {field.name!r}")
        seen.add(field.name)
        sql = types.sql_type(field.type)
        if sql is None:
            raise DataError(f"{part.file.uri}: column {field.name!r} is {field.type}, which no PostgreSQL type holds")
        yield field.name, Sight(sql, types.hollow(field.type), part.file)


def join(found: Found, entity: str) -> Column:
    """The column that holds what all files have; lists of NULLs become those of another file.

    Raises:
        DataError: none does; the message names two files that disagree, and what to do.
    """
    lists = [sight for sight in found.sights if sight.hollow == "list"]
    if not found.typed:
        return Column(found.name, (lists or found.sights)[0].sql, untyped=True)
    first, *others = found.typed
    wide: str | None = first.sql
    for other in others:
        wide = fit.widened(other.sql, wide) if wide else None
        if wide is None:
            raise _disagreement(found.name, other, first, entity)
    assert wide is not None
    if lists and not (wide.endswith("[]") or wide == "jsonb"):
        raise _disagreement(found.name, lists[0], first, entity)
    return Column(found.name, wide, files=found.types)


def _disagreement(name: str, one: Sight, other: Sight, entity: str) -> DataError:
    return DataError(
        f"column {name!r} is {one.sql} in {one.file.uri} but {other.sql} in {other.file.uri};"
        f" if a type takes both, declare it: entity.{entity}.types.{name}"
    )
