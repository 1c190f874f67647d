"""What a load of one entity will do. Pure: decided from the outline, and from what that asks for.

These are the footers of the files, and what may take a scan of the target.
"""

from dataclasses import replace

from pgpipe import errors
from pgpipe.load.plan import contract
from pgpipe.load.plan.changes import check_order
from pgpipe.load.plan.distribution import require_same_key
from pgpipe.load.plan.facts import Details, Facts
from pgpipe.load.plan.files import folder_remarks
from pgpipe.load.plan.found import Found, find_columns
from pgpipe.load.plan.gates import require_rows
from pgpipe.load.plan.keys import needed_for_mode
from pgpipe.load.plan.outline import NO_CHANGE, Plan, no_file
from pgpipe.load.plan.parts import Column, Evolution, Part
from pgpipe.load.plan.soft_delete import require_unused
from pgpipe.settings.entity import EntitySettings
from pgpipe.settings.gates import NO_LIMIT


def decide(plan: Plan, parts: list[Part], facts: Facts, details: Details, settings: EntitySettings) -> Plan:
    """The outline with what footers and target say: the columns, and how the target's change.

    Args:
        plan: an outline that reads files, or empties the target.
        parts: the files that it reads.
        facts: as for the outline.
        details: what was read of the database for these files.
        settings: as for the outline.

    Raises:
        DataError: the files, or the files and the target, do not agree; the message says what and where.
        UsageError: the settings name what is not there.
    """
    if not plan.reads:
        return _decide_empty(plan, facts, details)
    entity = plan.files.entity
    found = find_columns(parts)
    _check_key(plan, found, parts)
    require_unused(entity, plan.soft_delete, (each.name for each in found))
    terms = contract.Terms(
        entity,
        settings.types,
        {column.name: column for column in facts.columns},
        facts.table is not None,
        details,
        plan.action == "merge",
        plan.key,
    )
    evolution, columns = contract.settle(found, terms)
    if facts.table:
        _check_shape(plan, facts, evolution)
        if settings.contract == "freeze":
            contract.require_same(parts, facts.columns, evolution, entity)
    columns = contract.with_policies(columns, settings, plan.key, entity)
    if plan.changes:
        check_order(plan.changes, columns, entity)
    _check_filled(plan, facts, details, parts, columns, settings)
    _check_rows(plan, facts, details, rows=sum(sum(part.rows) for part in parts))
    named = {column.name for column in columns}
    return replace(
        plan,
        columns=tuple(columns),
        parts=tuple(parts),
        evolution=evolution if facts.table else NO_CHANGE,
        converted=_converted(columns),
        absent=tuple(c.name for c in facts.columns if not c.filled and c.name not in named),
        remarks=(
            *plan.remarks,
            *folder_remarks(parts, plan.files, partitions=settings.partitions),
            *contract.case_remarks(found, facts.columns),
        ),
    )


def _check_filled(
    plan: Plan, facts: Facts, details: Details, parts: list[Part], columns: list[Column], settings: EntitySettings
) -> None:
    """Every row has what it needs: values where NULL is not allowed, a key, and a partition."""
    entity = plan.files.entity
    contract.require_filled(columns, parts, facts.columns, entity)
    if plan.action != "append":
        contract.require_key(columns, parts, plan.key, entity)
    if details.homeless and settings.bad(facts.partitioned_by) != "reject":
        raise errors.DataError(f"{entity}: {details.homeless}")


def _decide_empty(plan: Plan, facts: Facts, details: Details) -> Plan:
    if not details.has_rows:
        raise no_file(plan)
    _check_rows(plan, facts, details, rows=0)
    columns = tuple(Column(c.name, c.kind.type, c.kind) for c in facts.columns if c.name in plan.key)
    return replace(plan, columns=columns)


def _check_shape(plan: Plan, facts: Facts, evolution: Evolution) -> None:
    """Only the owner of a table may change its shape, and nobody may widen the key of a distributed one."""
    assert facts.table is not None
    entity = plan.files.entity
    require_same_key(entity, plan.distributed_by, plan.key, evolution)
    actions = [f'add column "{c.name}" {c.sql}' for c in evolution.add]
    actions += [f'alter column "{c.name}" type {c.sql}' for c in evolution.widen]
    if actions and not facts.access.owned:
        raise errors.DataError(
            f"{entity}: the files need another shape of {facts.table.qualified}, which only its owner may change:"
            f" alter table {facts.table.qualified} {', '.join(actions)}"
        )


def _check_rows(plan: Plan, facts: Facts, details: Details, rows: int) -> None:
    """What the load would refuse, as far as it can be known before the files are read."""
    entity, day = plan.files.entity, plan.files.date
    if details.not_unique:
        raise details.not_unique
    empty = f"the files of {day} hold no row" if plan.reads else f"the folder of {day} holds no Parquet file"
    if plan.mode == "snapshot" and not rows and plan.gates.max_deleted != NO_LIMIT and details.has_rows:
        raise errors.GateFailed(
            f"{entity}: {empty}, and as a snapshot it would delete all rows of {facts.schema}.{entity},"
            " which max_deleted refuses; if that is right, let it pass once with `--accept max_deleted`"
        )
    require_rows(entity, day, rows + plan.before, plan.gates)


def _check_key(plan: Plan, found: list[Found], parts: list[Part]) -> None:
    entity, key, names = plan.files.entity, plan.key, [each.name for each in found]
    missing = [k for k in key if k not in names]
    if missing:
        raise errors.DataError(
            f"{entity}: the key column {missing[0]!r} is not in the files; they have {', '.join(names)}"
        )
    if plan.mode != "append" and not key:
        raise needed_for_mode(entity, plan.mode)
    if "pgpipe_row" in names and not key:
        raise errors.DataError(
            f"{parts[0].file.uri}: the column name 'pgpipe_row' is taken; give the entity a key, or rename it"
        )


def _converted(columns: list[Column]) -> tuple[str, ...]:
    given = [(column, [sql for sql in column.files if sql != column.sql]) for column in columns if column.kind]
    return tuple(f"{column.name} {' and '.join(other)} as {column.sql}" for column, other in given if other)
