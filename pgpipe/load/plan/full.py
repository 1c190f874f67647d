"""The plan of a load that has something to do: the outline with what footers and target say, or a proposal of a key."""

from collections.abc import Iterator
from dataclasses import replace

import pyarrow.parquet as pq

from pgpipe.db import Connection, awake
from pgpipe.errors import PgpipeError
from pgpipe.load.plan.bounds import Extreme, extremes
from pgpipe.load.plan.decide import decide
from pgpipe.load.plan.details import (
    Merge,
    check_delete,
    read_details,
    require_history,
    require_soft_delete,
    why_generated_key_stays,
)
from pgpipe.load.plan.facts import Facts
from pgpipe.load.plan.files import read_footers
from pgpipe.load.plan.found import find_columns, join
from pgpipe.load.plan.keys import KeyNeeded, may_replace, replacing
from pgpipe.load.plan.outline import Plan
from pgpipe.load.plan.parts import Part
from pgpipe.load.plan.propose import INTEGERS, Hints, propose
from pgpipe.load.plan.scene import Scene
from pgpipe.load.rows.shape import check_columns, configured, in_files
from pgpipe.settings.entity import EntitySettings
from pgpipe.source import File, Source
from pgpipe.source.layout import EntityFiles


def full_plan(
    conn: Connection, source: Source, plan: Plan, facts: Facts, settings: EntitySettings, scene: Scene
) -> Plan:
    """The outline, decided.

    Raises:
        DataError: the files, or the files and the target, do not agree; the message says what and where.
    """
    hints, files = Hints(), plan.files
    try:
        plan = _decided(conn, source, plan, facts, settings, scene, hints)
    except KeyNeeded as exc:
        raise with_proposal(conn, exc, source, files, settings) from None
    if wants_key(plan, facts):
        with awake(conn):
            proposal = propose(source, files.entity, plan.parts, plan.columns, hints)
        plan = replace(plan, proposal=proposal)
    if plan.action == "create" and scene.is_created:
        return replace(plan, action="append" if plan.mode == "append" else "merge")
    return plan


def wants_key(plan: Plan, facts: Facts) -> bool:
    """Whether a proposal helps: the first date has no key, and another one would need it."""
    return bool(plan.parts) and not (plan.repeatable or plan.skipped or facts.primary_key)


def with_proposal(
    conn: Connection, refusal: KeyNeeded, source: Source, files: EntityFiles, settings: EntitySettings
) -> KeyNeeded:
    """What is said where a key is needed, with one that may do."""
    with awake(conn):
        return _with_proposal(refusal, source, files, settings)


def _with_proposal(refusal: KeyNeeded, source: Source, files: EntityFiles, settings: EntitySettings) -> KeyNeeded:
    hints = Hints()
    try:
        parts = _read(source, files.files, files, settings, hints)
        columns = [join(found, files.entity) for found in find_columns(parts)] if parts else []
    except PgpipeError:  # more is wrong; the key is said first
        return refusal
    same = [column for column in columns if column.name not in settings.types or set(column.files) <= INTEGERS]
    proposal = propose(source, files.entity, parts, same, hints)
    return refusal.proposing(files.entity, proposal) if proposal else refusal


def _read(
    source: Source,
    wanted: tuple[File, ...],
    files: EntityFiles,
    settings: EntitySettings,
    hints: Hints | None,
    partitioned_by: str = "",
    keep: int = 0,
) -> list[Part]:
    """The files as the settings have them, by their footers."""

    def of_footer(metadata: pq.FileMetaData) -> Iterator[Extreme]:
        if hints is not None:
            hints.take(metadata)
        return extremes(metadata, in_files(partitioned_by, settings))

    return configured(read_footers(source, wanted, of_footer, keep) if wanted else [], files, settings)


def _decided(
    conn: Connection,
    source: Source,
    plan: Plan,
    facts: Facts,
    settings: EntitySettings,
    scene: Scene,
    hints: Hints,
) -> Plan:
    """The outline with what footers and the target say."""
    files = plan.files
    # Footers of many files take long, and so may a look at all rows of the target.
    with awake(conn):
        wanted = None if plan.repeatable else hints
        parts = _read(source, plan.reads, files, settings, wanted, facts.partitioned_by, scene.keep)
    if parts:
        plan = replace(plan, remarks=(*plan.remarks, *check_columns(parts, settings, files.entity)))
    merge = Merge(plan.key, plan.mode) if plan.action == "merge" else None
    details = read_details(conn, facts, parts, settings, merge, migrated=scene.migrated)
    plan = decide(plan, parts, facts, details, settings)
    if plan.action == "merge" and facts.table and may_replace(plan.key, facts):
        frozen = "the contract is frozen" if settings.contract == "freeze" else None
        why_not = frozen or why_generated_key_stays(conn, facts.table, plan.key)
        plan = replace(plan, adopts_key=why_not is None, remarks=(*plan.remarks, replacing(plan.key, why_not)))
    if plan.changes and scene.migrated:
        check_delete(conn, plan.changes, plan.columns, files.entity)
    if scene.migrated and plan.mode != "append":
        require_soft_delete(conn, facts, files.entity, plan.soft_delete.wanted)
    if plan.history.wanted and scene.migrated:
        require_history(conn, facts, files.entity, [column.name for column in plan.columns])
    return plan
