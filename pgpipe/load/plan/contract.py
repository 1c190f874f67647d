"""The contract between files and target: what the files' columns become there, and what is refused. Pure functions."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from pgpipe.errors import DataError, UsageError
from pgpipe.load import types
from pgpipe.load.plan.facts import DeclaredType, TargetColumn
from pgpipe.load.plan.files import Column, Evolution, Part
from pgpipe.settings.entity import EntitySettings


def declare(
    columns: Iterable[Column], settings: EntitySettings, known: Mapping[str, DeclaredType | None], entity: str
) -> list[Column]:
    """The columns with the types that the user declares for them.

    Args:
        columns: as the files have them.
        settings: that declare types.
        known: these types, as the database knows them.
        entity: for messages.

    Raises:
        UsageError: the type does not exist.
        DataError: the files' values cannot be read as it; the message names every such column.
    """
    found, refused = [], []
    for column in columns:
        declared = settings.types.get(column.name)
        if declared is None:
            found.append(column)
            continue
        wanted = known[column.name]
        if wanted is None:
            raise UsageError(
                f"entity.{entity}.types.{column.name}: the type {declared!r} does not exist in this database"
            )
        if not column.untyped and not types.may_be_read_as(column.sql, wanted.base):
            refused.append(f"{column.name!r} is {column.sql} in the files, which cannot be read as {wanted.type}")
        made = replace(column, sql=wanted.type, base=wanted.base, labels=wanted.labels, natural=column.sql)
        found.append(made)
    if refused:
        raise DataError(f"{entity}: {'; '.join(refused)}")
    return found


def compare(columns: list[Column], target: Sequence[TargetColumn], entity: str) -> tuple[Evolution, list[Column]]:
    """What must change in the target so that the columns fit, and the columns as they will be there.

    Raises:
        DataError: values of a column would be lost, or the target makes it itself; the message names every such column.
    """
    add, widen, refused, settled = [], [], [], []
    there = {c.name: c for c in target}
    for column in columns:
        known = there.get(column.name)
        if known is None:
            add.append(column)
            settled.append(column)
            continue
        as_there = replace(column, sql=known.type, base=known.base, labels=known.labels, required=known.required)
        if known.filled:
            refused.append(
                f"{column.name!r} is a column that the target fills itself; rename it at the source, or if it is the"
                f" search column, give that another name by entity.{entity}.search.column_name"
            )
        elif not column.untyped and not _accepts(column, known):
            wide = types.widened(column.natural or column.sql, known.base) if known.type == known.base else None
            if wide is None or column.natural:
                found = column.natural or column.sql
                refused.append(f"{column.name!r} is {found} in the files but {known.type} in the target")
            else:
                as_there = replace(as_there, sql=wide, base="")
                widen.append(as_there)
        settled.append(as_there)
    if refused:
        raise DataError(f"{entity}: {'; '.join(refused)}")
    return Evolution(tuple(add), tuple(widen)), settled


def _accepts(column: Column, known: TargetColumn) -> bool:
    if column.natural:  # declared: each value is checked to go into the type that was declared, which is the target's
        return types.may_be_read_as(column.natural, known.base) and column.sent == known.base
    return types.fits(column.sql, known.base)


def require_same(parts: list[Part], target: Sequence[TargetColumn], evolution: Evolution, entity: str) -> None:
    """Hold a frozen contract.

    Raises:
        DataError: a file's columns are not the target's; the message names every difference.
    """
    folders = {name for part in parts for name, _ in part.constants}
    out = f" (a folder gives it; entity.{entity}.partitions = false leaves it out)"
    different = [f"{c.name!r} is not in the target{out * (c.name in folders)}" for c in evolution.add]
    kinds = {c.name: c.type for c in target}
    different += [f"{c.name!r} is {c.sql} in the files but {kinds[c.name]} in the target" for c in evolution.widen]
    for column in target:
        lacking = [part.file.uri for part in parts if column.name not in part.schema.names]
        if lacking and not column.filled and not column.defaulted:
            different.append(f"{column.name!r} is not in {lacking[0]}")
    if different:
        raise DataError(f"{entity}: the contract is frozen: {'; '.join(different)}")


def require_filled(columns: list[Column], parts: list[Part], target: Sequence[TargetColumn], entity: str) -> None:
    """Refuse files that lack a column which is NOT NULL, unless all of them lack it and it has a default.

    Raises:
        DataError: the message names every such column, and where only some files lack it, one of these.
    """
    bad = {c.name: c.bad for c in columns}
    one_of_each = {id(part.schema): part for part in parts}.values()  # files of one shape share it
    refused = []
    for column in target:
        if not column.required or column.filled or bad.get(column.name) == "reject":
            continue
        if column.name in bad:
            lacking = [part.file.uri for part in one_of_each if column.name not in part.schema.names]
            refused += [f"{column.name!r} is NOT NULL in the target and not in {uri}" for uri in lacking[:1]]
        elif not column.defaulted:
            refused.append(f"{column.name!r} is NOT NULL in the target and not in the files")
    if refused:
        raise DataError(f"{entity}: {'; '.join(refused)}")


def with_policies(columns: list[Column], settings: EntitySettings, key: tuple[str, ...], entity: str) -> list[Column]:
    """The columns with what happens to their bad values.

    Raises:
        UsageError: a policy names a column that is not there, or strips one that is not text.
    """
    named = set() if isinstance(settings.bad_values, str) else set(settings.bad_values) - {"*"}
    unknown = sorted(named - {c.name for c in columns})
    if unknown:
        raise UsageError(f"entity.{entity}.bad_values: the files have no column {unknown[0]!r}")
    found = []
    for column in columns:
        bad = settings.bad(column.name)
        if bad == "strip" and types.base(column.sent) not in types.TEXTS:
            if column.name in named:
                raise UsageError(f"entity.{entity}.bad_values.{column.name}: strip is for text, and it is {column.sql}")
            bad = "error"
        # The report of a NULL in the key says how often it occurs, unless its row may be rejected.
        required = bad == "reject" if column.name in key else column.required
        found.append(replace(column, bad=bad, required=required, most=settings.max_value_mb << 20))
    return found
