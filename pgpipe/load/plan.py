"""What a load of one entity will do, decided from footers, the target and the ledger; nothing is touched."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from pgpipe import errors
from pgpipe.config import EntitySettings, Mode
from pgpipe.db import Connection, translated
from pgpipe.load import known, preflight, target
from pgpipe.load.preflight import Column, Evolution, Part
from pgpipe.source import File, Source
from pgpipe.source.contents import sentence
from pgpipe.source.layout import Drop

PRIMARY_KEY = "select pgpipe.key_columns(to_regclass(format('%%I.%%I', %s::text, %s::text)))"
NO_CHANGE = Evolution()


@dataclass(frozen=True)
class Plan:
    """What a load will do, decided from footers, the target and the ledger alone."""

    drop: Drop
    mode: Mode
    key: tuple[str, ...]
    action: Literal["nothing", "recognise", "create", "append", "merge"]
    columns: tuple[Column, ...] = ()
    parts: tuple[Part, ...] = ()
    evolution: Evolution = NO_CHANGE
    skipped: tuple[File, ...] = ()  # already in the target
    max_rejected: int = 0
    converted: tuple[str, ...] = ()  # columns whose values the target has in another type than the files
    absent: tuple[str, ...] = ()  # columns of the target that the files lack
    remarks: tuple[str, ...] = ()  # what else a user should know of the files

    @property
    def rows(self) -> int:
        """Rows that will be read."""
        return sum(sum(part.rows) for part in self.parts)


def make_plan(conn: Connection, schema: str, source: Source, drop: Drop, settings: EntitySettings) -> Plan:
    """Decide what to do; touches nothing.

    Raises:
        DataError: the files, or the files and the target, do not agree; the message says what and where.
    """
    entity = drop.entity
    preflight.check_name(entity, "entity", source.url)
    if drop.problem:
        raise errors.DataError(f"{entity}: {drop.problem}")
    if not drop.files:
        ignored = f"; {sentence(drop.ignored)}" if drop.ignored else ""
        raise errors.DataError(f"{entity}: the folder of {drop.date} holds no Parquet file{ignored}")
    found = target.read_target(conn, schema, entity)
    with translated():
        primary_key = one(conn, PRIMARY_KEY, (schema, entity)) or []
    ledger = known.read_ledger(conn, schema, entity) if found else known.Ledger()
    drop = ledger.judged(drop)
    written = {c.name for c in found if not c.filled}
    known_key = tuple(settings.key) or tuple(primary_key if set(primary_key) <= written else ())
    mode: Mode = settings.mode or ("upsert" if known_key else "append")
    new = tuple(f for f in drop.files if not ledger.holds(f))
    skipped = tuple(f for f in drop.files if ledger.holds(f))
    remarks = (sentence(drop.ignored),) if drop.ignored else ()
    plan = Plan(drop, mode, known_key, "nothing", skipped=skipped, remarks=remarks)
    if not new and (mode != "snapshot" or len(ledger) == len(drop.files)):
        return plan
    if mode == "snapshot" and not settings.path_column and ledger.is_same_snapshot(drop):
        return replace(plan, action="recognise", skipped=drop.files)
    if mode == "snapshot":
        new, skipped = drop.files, ()  # a snapshot is whole: what is missing in it will be deleted
    parts = [
        preflight.with_path(part, entity, partitions=settings.partitions, path_column=settings.path_column)
        for part in preflight.read_footers(source, new)
    ]
    joined = preflight.join_schemas(parts)
    columns = target.declare(conn, joined, settings, entity)
    _check_key(entity, mode, known_key, columns, parts)
    evolution = NO_CHANGE
    action: Literal["create", "append", "merge"] = "create"
    if found:
        evolution, columns = target.compare(columns, found, entity)
        if settings.contract == "freeze":
            target.require_same(parts, found, evolution, entity)
        action = "append" if mode == "append" else "merge"
    columns = target.with_policies(columns, settings, known_key, entity)
    target.require_filled(columns, parts, found, entity)
    return Plan(
        drop,
        mode,
        known_key,
        action,
        tuple(columns),
        tuple(parts),
        evolution,
        skipped,
        settings.max_rejected,
        _converted(joined, columns, evolution),
        tuple(c.name for c in found if not c.filled and c.name not in {column.name for column in columns}),
        (*remarks, *preflight.folder_remarks(parts, entity, partitions=settings.partitions)),
    )


def _converted(joined: list[Column], columns: list[Column], evolution: Evolution) -> tuple[str, ...]:
    changed = {column.name for column in evolution.widen}
    pairs = [(before, after) for before, after in zip(joined, columns, strict=True) if before.name not in changed]
    return tuple(f"{a.name} {b.sql} as {a.sql}" for b, a in pairs if not b.untyped and b.sql != a.sql)


def one(conn: Connection, query: str, values: tuple[object, ...] | dict[str, object]) -> Any:  # noqa: ANN401 - the query says what comes back
    """The first column of the first row; None where there is none."""
    row = conn.execute(query, values).fetchone()
    return row[0] if row else None


def _check_key(entity: str, mode: Mode, key: tuple[str, ...], columns: list[Column], parts: list[Part]) -> None:
    names = [c.name for c in columns]
    missing = [k for k in key if k not in names]
    if missing:
        raise errors.DataError(
            f"{entity}: the key column {missing[0]!r} is not in the files; they have {', '.join(names)}"
        )
    if mode != "append" and not key:
        raise errors.UsageError(
            f"{entity}: mode {mode} needs a key: --key COLUMN, or entity.{entity}.key in the configuration"
        )
    if "pgpipe_row" in names and not key:
        raise errors.DataError(
            f"{parts[0].file.uri}: the column name 'pgpipe_row' is taken; give the entity a key, or rename it"
        )
