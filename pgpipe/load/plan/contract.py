"""The contract between files and target: what the files' columns become there, and what is refused. Pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from pgpipe.errors import DataError, UsageError
from pgpipe.load import fit, kinds
from pgpipe.load.kinds import Kind
from pgpipe.load.plan.facts import Details, TargetColumn
from pgpipe.load.plan.found import Found, join
from pgpipe.load.plan.parts import Column, Evolution, Part
from pgpipe.settings.entity import EntitySettings


class _Refused(Exception):
    """Why a column cannot be loaded."""


@dataclass(frozen=True)
class Terms:
    """What the columns of files are compared with."""

    entity: str
    declared: Mapping[str, str]  # types that the settings name
    target: Mapping[str, TargetColumn]
    exists: bool  # the target does
    details: Details
    updated: bool  # rows may be updated: not by the key, or not at all
    key: tuple[str, ...]


def settle(found: Sequence[Found], terms: Terms) -> tuple[Evolution, list[Column]]:
    """What must change in the target so that the files' columns fit, and the columns as they will be there.

    The type that the user declares decides, then that of the target, and only then what the files have in common.

    Raises:
        UsageError: a declared type does not exist.
        DataError: values of a column would be lost, or the target makes it itself; the message names every such column.
    """
    add, widen, refused, settled = [], [], [], []
    for each in found:
        there = terms.target.get(each.name)
        try:
            column = _declared(each, terms) if each.name in terms.declared else _undeclared(each, terms)
        except _Refused as exc:
            refused.append(f"{each.name!r} {exc}")
            continue
        settled.append(column)
        if there is None:
            add.append(column)
        elif column.sql != there.kind.type:
            widen.append(column)
    if refused:
        raise DataError(f"{terms.entity}: {'; '.join(refused)}")
    return Evolution(tuple(add), tuple(widen)), settled


def _declared(found: Found, terms: Terms) -> Column:
    name, written = found.name, terms.declared[found.name]
    kind, there = terms.details.types[name], _there(found, terms)
    if kind is None:
        raise UsageError(f"entity.{terms.entity}.types.{name}: the type {written!r} does not exist in this database")
    wrong = [s.sql for s in found.sights if not (fit.may_be_read_as(s.sql, kind) or fit.accepts(kind, s.sql, s.hollow))]
    if wrong:
        raise _Refused(f"is {_and(wrong)} in the files, which cannot be read as {kind.type}")
    if there is None:
        return _of(found, kind)
    if kind.base != there.kind.base:
        raise _Refused(
            f"is {there.kind.type} in the target, and entity.{terms.entity}.types.{name} declares {kind.type};"
            " change one of them"
        )
    return replace(_of(found, there.kind), required=there.required)


def _undeclared(found: Found, terms: Terms) -> Column:
    there = _there(found, terms)
    if there is None:
        return join(found, terms.entity)
    blocked = terms.details.dependents.get(found.name, ())
    if there.untyped and found.name in terms.details.empty and not blocked:
        return replace(join(found, terms.entity), required=there.required)
    wrong = [sight for sight in found.sights if not fit.accepts(there.kind, sight.sql, sight.hollow)]
    if not wrong:
        return replace(_of(found, there.kind), required=there.required)
    difference = f"is {_and(sight.sql for sight in wrong)} in the files but {there.kind.type} in the target"
    wide = _widened(found, there) if not any(sight.hollow for sight in wrong) else None
    if wide is None:
        raise _Refused(difference)
    if blocked:
        raise _Refused(f"{difference}, and cannot be widened: {_way_out(found, there, blocked, terms.entity)}")
    return Column(found.name, wide, files=found.types, required=there.required)


def _there(found: Found, terms: Terms) -> TargetColumn | None:
    """The target's column, if it has one, and if files may fill it."""
    name, there = found.name, terms.target.get(found.name)
    if there is None:
        if terms.exists and terms.details.closed:
            raise _Refused(f"is not in the target, which can get no column: {terms.details.closed}")
    elif there.filled == "search":
        raise _Refused(
            "is the search column of the target, which fills it itself; rename it at the source, or give the search"
            f" column another name by entity.{terms.entity}.search.column_name"
        )
    elif there.filled == "generated":
        raise _Refused("is a generated column of the target, which fills it itself; rename it at the source")
    elif there.filled == "identity" and terms.updated and name not in terms.key:
        raise _Refused(
            "is GENERATED ALWAYS AS IDENTITY in the target and not in the key, so rows that are there cannot get other"
            f' numbers; put it into the key, or `alter table … alter column "{name}" set generated by default`'
        )
    return there


def _of(found: Found, kind: Kind) -> Column:
    read = bool(kind.reads) and any(fit.is_read(sql, kind.base) for sql in found.types)
    return Column(found.name, kind.type, kind, found.types, read=read)


def _widened(found: Found, there: TargetColumn) -> str | None:
    if there.kind.type != there.kind.base:  # a domain is never widened
        return None
    wide = fit.wide_enough(found.types, there.kind.base)
    return None if there.identity and wide not in kinds.INTEGERS else wide


def _way_out(found: Found, there: TargetColumn, blocked: Sequence[str], entity: str) -> str:
    """What depends on a column, and what can be done."""
    depends = f"{_and(blocked)} {'depend' if len(blocked) > 1 else 'depends'} on it"
    drop = "drop what depends on it before the load, and make it again after it"
    if not all(fit.may_be_read_as(sql, there.kind) for sql in found.types):
        return f"{depends}; {drop}"
    return (
        f'{depends}; entity.{entity}.types.{found.name} = "{there.kind.type}" keeps it and checks each value; or {drop}'
    )


def _and(items: Iterator[str] | Sequence[str]) -> str:
    return " and ".join(dict.fromkeys(items))


def case_remarks(found: Sequence[Found], target: Sequence[TargetColumn]) -> Iterator[str]:
    """Columns that are new, and whose names differ from others by case only."""
    known = {column.name for column in target}
    others = [*known, *(each.name for each in found)]
    for each in found:
        alike = [name for name in others if name != each.name and name.casefold() == each.name.casefold()]
        if alike and each.name not in known:
            yield (
                f"{each.name!r} and {alike[0]!r} differ by case only and are two columns; if they are meant to be one,"
                " rename it at the source"
            )


def require_same(parts: list[Part], target: Sequence[TargetColumn], evolution: Evolution, entity: str) -> None:
    """Hold a frozen contract.

    Raises:
        DataError: a file's columns are not the target's; the message names every difference.
    """
    folders = {name for part in parts for name, _ in part.constants}
    out = f" (a folder gives it; entity.{entity}.partitions = false leaves it out)"
    different = [f"{c.name!r} is not in the target{out * (c.name in folders)}" for c in evolution.add]
    kinds = {c.name: c.kind.type for c in target}
    different += [
        f"{c.name!r} is {_and(c.files)} in the files but {kinds[c.name]} in the target" for c in evolution.widen
    ]
    for column in target:
        lacking = [part.file.uri for part in parts if column.name not in part.schema.names]
        if lacking and not column.filled and not column.defaulted:
            different.append(f"{column.name!r} is not in {lacking[0]}")
    if different:
        raise DataError(f"{entity}: the contract is frozen: {'; '.join(different)}")


def require_key(columns: list[Column], parts: list[Part], key: Sequence[str], entity: str) -> None:
    """Refuse a file with rows that lacks a column of the key, unless these are rejected.

    Raises:
        DataError: the message names the column and the file.
    """
    names = {column.name for column in columns if column.name in key and column.bad != "reject"}
    for part in {id(part.schema): part for part in parts if any(part.rows)}.values():
        if lacking := names.difference(part.schema.names):
            raise DataError(f"{entity}: the key column {min(lacking)!r} is not in {part.file.uri}")


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
        if bad == "strip" and kinds.base(column.sent) not in kinds.TEXTS:
            if column.name in named:
                raise UsageError(f"entity.{entity}.bad_values.{column.name}: strip is for text, and it is {column.sql}")
            bad = "error"
        # The report of a NULL in the key says how often it occurs, unless its row may be rejected.
        # So does the database of other columns, if rows may delete: these need no values.
        required = bad == "reject" if column.name in key else column.required and settings.delete is None
        found.append(replace(column, bad=bad, required=required, most=settings.max_value_mb << 20))
    return found
