"""What a load of one entity will do, decided from footers, the target and the ledger; nothing is touched."""

import json
import re
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Literal

from psycopg import sql

from pgpipe import errors
from pgpipe.db import Connection, translated
from pgpipe.load.ledger import Ledger, read_ledger
from pgpipe.load.plan import target
from pgpipe.load.plan.files import (
    Column,
    Evolution,
    Part,
    check_name,
    folder_remarks,
    join_schemas,
    read_footers,
    with_path,
)
from pgpipe.load.plan.target import TargetColumn
from pgpipe.settings.entity import MAX_DELETED, EntitySettings, MaxDeleted, Mode, max_deleted
from pgpipe.source import File, Source
from pgpipe.source.contents import sentence
from pgpipe.source.layout import EntityFiles

PRIMARY_KEY = "select pgpipe_internal.key_columns(to_regclass(format('%%I.%%I', %s::text, %s::text)))"
OURS = "select pgpipe_internal.has_ledger(to_regclass(format('%%I.%%I', %s::text, %s::text)))"
REQUIRE_UNIQUE = "select pgpipe_internal.require_unique(format('%%I.%%I', %s::text, %s::text)::regclass, %s, %s)"
HAS_ROWS = sql.SQL("select exists (select from {})")
NO_CHANGE = Evolution()
NO_LIMIT = MaxDeleted()


@dataclass(frozen=True)
class Consent:
    """What a user has agreed to, beyond the settings of an entity."""

    named: bool = False  # the configuration or the command line names the entity
    accept: frozenset[str] = frozenset()  # rules that are let pass once: max_deleted, older
    until: date | None = None  # the date is one of a range that is loaded in order, up to this one


CAREFUL = Consent()


@dataclass(frozen=True)
class Plan:
    """What a load will do, decided from footers, the target and the ledger alone."""

    files: EntityFiles
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
    max_deleted: MaxDeleted = NO_LIMIT
    superseded: str = ""  # why there is nothing to do, though the files are not in the ledger
    repeatable: bool = True  # another date may follow: there is a key, or the user wrote `append`

    @property
    def rows(self) -> int:
        """Rows that will be read."""
        return sum(sum(part.rows) for part in self.parts)


def make_plan(
    conn: Connection,
    schema: str,
    source: Source,
    files: EntityFiles,
    settings: EntitySettings,
    consent: Consent = CAREFUL,
) -> Plan:
    """Decide what to do; touches nothing.

    Raises:
        DataError: the files, or the files and the target, do not agree; the message says what and where.
    """
    entity = files.entity
    check_name(entity, "entity", source.url)
    if files.problem:
        raise errors.DataError(f"{entity}: {files.problem}")
    found = target.read_target(conn, schema, entity)
    ours = bool(found) and _is_ours(conn, schema, entity, consent)
    ledger = read_ledger(conn, schema, entity) if ours else Ledger()
    files = ledger.judged(files)
    key = tuple(settings.key) or _primary_key(conn, schema, entity, found)
    mode: Mode = settings.mode or ("upsert" if key else "append")
    new = tuple(f for f in files.files if not ledger.holds(f))
    plan = Plan(
        files,
        mode,
        key,
        "nothing",
        skipped=tuple(f for f in files.files if ledger.holds(f)),
        max_rejected=settings.max_rejected,
        remarks=(sentence(files.ignored),) if files.ignored else (),
        max_deleted=NO_LIMIT if "max_deleted" in consent.accept else _limit(settings),
        repeatable=bool(key) or settings.mode == "append",
    )
    if files.files and not new and (mode != "snapshot" or len(ledger) == len(files.files)):
        return plan
    if superseded := _check_order(plan, ledger, consent):
        return replace(plan, superseded=superseded)
    if not files.files:
        return _plan_empty(conn, schema, plan, found)
    if mode == "snapshot" and not settings.path_column and ledger.is_same_snapshot(files):
        return replace(plan, action="recognise", skipped=files.files)
    if mode == "snapshot":
        # A snapshot is whole: what is missing in it will be deleted.
        return _with_files(conn, schema, source, replace(plan, skipped=()), files.files, found, settings)
    return _with_files(conn, schema, source, plan, new, found, settings)


def _with_files(
    conn: Connection,
    schema: str,
    source: Source,
    plan: Plan,
    files: tuple[File, ...],
    found: list[TargetColumn],
    settings: EntitySettings,
) -> Plan:
    """The plan with what the footers of the files say."""
    entity, key = plan.files.entity, plan.key
    parts = [
        with_path(part, entity, partitions=settings.partitions, path_column=settings.path_column)
        for part in read_footers(source, files)
    ]
    joined = join_schemas(parts)
    columns = target.declare(conn, joined, settings, entity)
    _check_key(entity, plan.mode, key, columns, parts)
    evolution = NO_CHANGE
    action: Literal["create", "append", "merge"] = "create"
    if found:
        evolution, columns = target.compare(columns, found, entity)
        if settings.contract == "freeze":
            target.require_same(parts, found, evolution, entity)
        action = "append" if plan.mode == "append" else "merge"
    columns = target.with_policies(columns, settings, key, entity)
    target.require_filled(columns, parts, found, entity)
    if action == "merge":
        _check_target(conn, schema, plan, rows=sum(sum(part.rows) for part in parts))
    return replace(
        plan,
        action=action,
        columns=tuple(columns),
        parts=tuple(parts),
        evolution=evolution,
        converted=_converted(joined, columns, evolution),
        absent=tuple(c.name for c in found if not c.filled and c.name not in {column.name for column in columns}),
        remarks=(*plan.remarks, *folder_remarks(parts, entity, partitions=settings.partitions)),
    )


def _plan_empty(conn: Connection, schema: str, plan: Plan, found: list[TargetColumn]) -> Plan:
    """A date without files: of a snapshot it would mean that all rows are gone."""
    whole = found and plan.mode == "snapshot" and plan.key and not plan.files.ignored
    if not whole or not _has_rows(conn, schema, plan.files.entity):
        holds = "; ".join(("holds no Parquet file", *plan.remarks))
        raise errors.DataError(f"{plan.files.entity}: the folder of {plan.files.date} {holds}")
    _check_target(conn, schema, plan, rows=0)
    columns = tuple(Column(c.name, c.type, base=c.base, labels=c.labels) for c in found if c.name in plan.key)
    return replace(plan, action="merge", columns=columns)


def _is_ours(conn: Connection, schema: str, entity: str, consent: Consent) -> bool:
    """Whether pgpipe made the table. Another one is not overwritten because a folder has its name."""
    with translated():
        ours = bool(one(conn, OURS, (schema, entity)))
    if not ours and not consent.named:
        raise errors.DataError(
            f"{entity}: pgpipe did not make the table {schema}.{entity}, so it is left alone; to load into it,"
            f" write [entity.{toml_name(entity)}] in the configuration, or name it: --entity {entity}"
        )
    return ours


def _check_order(plan: Plan, ledger: Ledger, consent: Consent) -> str:
    """Refuse a date that would take the target back, or would double it. Returns why nothing has to be done, if so."""
    entity, day, newest = plan.files.entity, plan.files.date, max(ledger.dates, default=plan.files.date)
    if day < newest and "older" not in consent.accept:
        if plan.mode == "snapshot" and consent.until and newest <= consent.until:
            return f"nothing: the snapshot of {newest} is in the target"
        raise errors.DataError(
            f"{entity}: {newest} is in the target, and {day} is older; to load it all the same, add `--accept older`"
        )
    if not plan.repeatable and ledger.dates - {day}:
        raise errors.DataError(
            f"{entity}: without a key {day} would be added to the rows of {newest};"
            f" under [entity.{toml_name(entity)}] write"
            ' key = ["…"] with the columns that identify a row, or mode = "append" if it is to be added'
        )
    return ""


def _check_target(conn: Connection, schema: str, plan: Plan, rows: int) -> None:
    """What the merge would refuse, as far as it can be known before the files are read."""
    entity, limit = plan.files.entity, plan.max_deleted
    day = plan.files.date
    empty = f"the files of {day} hold no row" if plan.files.files else f"the folder of {day} holds no Parquet file"
    with translated():
        conn.execute(REQUIRE_UNIQUE, (schema, entity, list(plan.key), plan.mode))
    if plan.mode == "snapshot" and not rows and limit != NO_LIMIT and _has_rows(conn, schema, entity):
        raise errors.DataError(
            f"{entity}: {empty}, and as a snapshot it would delete all rows of {schema}.{entity},"
            " which max_deleted refuses; if that is right, let it pass once with `--accept max_deleted`"
        )


def toml_name(name: str) -> str:
    """A name as a key of the configuration file."""
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(name, ensure_ascii=False)


def _limit(settings: EntitySettings) -> MaxDeleted:
    return max_deleted(MAX_DELETED if settings.max_deleted is None else settings.max_deleted)


def _has_rows(conn: Connection, schema: str, entity: str) -> bool:
    with translated():
        row = conn.execute(HAS_ROWS.format(sql.Identifier(schema, entity))).fetchone()
    return bool(row and row[0])


def _primary_key(conn: Connection, schema: str, entity: str, found: list[TargetColumn]) -> tuple[str, ...]:
    """That of the target, if files can bring it."""
    with translated():
        columns = one(conn, PRIMARY_KEY, (schema, entity)) or []
    return tuple(columns if set(columns) <= {c.name for c in found if not c.filled} else ())


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
