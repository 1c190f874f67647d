"""What a load of one entity will do. Pure: decided from files, settings and what was read of the target before.

It is decided in two steps, because most runs find nothing to do: `outline` needs ledger and catalogue alone, `decide`
what the outline asks for, namely footers of files, and what may take a scan of the target.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from pgpipe import errors
from pgpipe.load.ledger import Ledger
from pgpipe.load.plan import contract
from pgpipe.load.plan.changes import Changes, changes_of, check_order
from pgpipe.load.plan.facts import Details, Facts
from pgpipe.load.plan.files import Column, Evolution, Part, folder_remarks
from pgpipe.load.plan.found import Found, find_columns
from pgpipe.load.plan.gates import find_gates, require_rows
from pgpipe.load.plan.history import NO_WISH, History, history_of
from pgpipe.load.plan.keys import Proposal, needed_for_date, needed_for_mode
from pgpipe.load.plan.order import rolled_back, takes_late, too_old
from pgpipe.load.plan.soft_delete import DELETED, SoftDelete, require_unused, soft_delete_of
from pgpipe.settings.describe import toml_name
from pgpipe.settings.entity import EntitySettings, Mode
from pgpipe.settings.gates import NO_LIMIT, Gates
from pgpipe.source import File
from pgpipe.source.contents import sentence
from pgpipe.source.layout import EntityFiles
from pgpipe.target import Target

NO_CHANGE = Evolution()
OPEN = Gates()
DONE = ("nothing", "recognise")  # actions that read no file


@dataclass(frozen=True)
class Consent:
    """What a user has agreed to, beyond the settings of an entity."""

    named: bool = False  # the configuration or the command line names the entity
    accept: frozenset[str] = frozenset()  # rules that are let pass once: gates by their settings, and older
    until: date | None = None  # the date is one of a range that is loaded in order, up to this one
    late: bool = False  # the date was passed already: what came to it since is looked for


CAREFUL = Consent()


@dataclass(frozen=True)
class Plan:
    """What a load will do."""

    files: EntityFiles
    target: Target | None  # None: it is not there yet
    mode: Mode
    key: tuple[str, ...]
    action: Literal["nothing", "recognise", "create", "append", "merge"]
    reads: tuple[File, ...] = ()  # the files whose rows are read
    skipped: tuple[File, ...] = ()  # already in the target
    columns: tuple[Column, ...] = ()
    parts: tuple[Part, ...] = ()
    evolution: Evolution = NO_CHANGE
    max_rejected: int = 0
    converted: tuple[str, ...] = ()  # columns whose values the target has in another type than the files
    absent: tuple[str, ...] = ()  # columns of the target that the files lack
    remarks: tuple[str, ...] = ()  # what else a user should know of the files
    gates: Gates = OPEN
    before: int = 0  # rows of the date that the target has already
    replaced: date | None = None  # the newest date that a snapshot rolls back
    superseded: str = ""  # why there is nothing to do, though the files are not in the ledger
    changes: Changes | None = None  # of several rows of a key the last counts, and rows may delete
    history: History = NO_WISH
    soft_delete: SoftDelete = DELETED
    repeatable: bool = True  # another date may follow: there is a key, or the user wrote `append`
    proposal: Proposal | None = None  # what may be the key, if there is none

    @property
    def rows(self) -> int:
        """Rows that will be read."""
        return sum(sum(part.rows) for part in self.parts)


def outline(files: EntityFiles, facts: Facts, settings: EntitySettings, consent: Consent = CAREFUL) -> Plan:
    """What ledger and catalogue say: the action, and which files it reads.

    Raises:
        DataError: the files may not come into this target; the message says why and what to do.
    """
    if files.problem:
        raise errors.DataError(f"{files.entity}: {files.problem}")
    if facts.access.wrong_kind:
        raise errors.DataError(f"{files.entity}: {facts.access.wrong_kind}")
    _check_ours(files.entity, facts, consent)
    ledger = facts.ledger
    files = ledger.judged(files)
    new = tuple(f for f in files.files if not ledger.holds(f))
    plan = _begin(files, facts, settings, consent)
    mode = plan.mode
    if files.files and not new and (mode != "snapshot" or len(ledger) == len(files.files)):
        return plan
    if superseded := _check_order(plan, new, ledger, consent):
        return replace(plan, superseded=superseded)
    plan = replace(plan, replaced=rolled_back(mode, ledger, files.date))
    # Who deletes needs the rights of a snapshot.
    if obstacle := facts.access.obstacles.get("snapshot" if plan.changes and plan.changes.delete else mode):
        raise errors.DataError(f"{files.entity}: {obstacle}")
    if not files.files:
        return _outline_empty(plan)
    if mode == "snapshot" and not settings.path_column and ledger.is_same_snapshot(files):
        return replace(plan, action="recognise", skipped=files.files)
    action: Literal["create", "append", "merge"] = (
        "create" if facts.table is None else "append" if mode == "append" else "merge"
    )
    if mode == "snapshot":  # it is whole: what is missing in it will be deleted
        return replace(plan, action=action, reads=files.files, skipped=())
    return replace(plan, action=action, reads=new, before=ledger.rows(plan.skipped))


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
        _check_owned(entity, facts, evolution)
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


def choose_mode(facts: Facts, settings: EntitySettings) -> tuple[Mode, tuple[str, ...]]:
    """How files come into the target, and by which key."""
    fillable = {c.name for c in facts.columns if not c.filled}
    # The primary key of the target counts, if files can bring it.
    key = tuple(settings.key) or (facts.primary_key if set(facts.primary_key) <= fillable else ())
    return settings.mode or ("upsert" if key else "append"), key


def _begin(files: EntityFiles, facts: Facts, settings: EntitySettings, consent: Consent) -> Plan:
    """Mode, key and limits, with nothing to do."""
    mode, key = choose_mode(facts, settings)
    return Plan(
        files,
        facts.table,
        mode,
        key,
        "nothing",
        skipped=tuple(f for f in files.files if facts.ledger.holds(f)),
        max_rejected=settings.max_rejected,
        remarks=(sentence(files.ignored),) if files.ignored else (),
        gates=find_gates(settings, consent.accept),
        history=history_of(files.entity, settings, mode),
        soft_delete=soft_delete_of(files.entity, settings, mode, facts),
        changes=changes_of(files.entity, settings, mode, files.date, facts.ledger),
        repeatable=bool(key) or settings.mode == "append",
    )


def _outline_empty(plan: Plan) -> Plan:
    """A date without files: of a snapshot it would mean that all rows are gone."""
    if not (plan.target and plan.mode == "snapshot" and plan.key and not plan.files.ignored):
        raise _no_file(plan)
    return replace(plan, action="merge")


def _decide_empty(plan: Plan, facts: Facts, details: Details) -> Plan:
    if not details.has_rows:
        raise _no_file(plan)
    _check_rows(plan, facts, details, rows=0)
    columns = tuple(Column(c.name, c.kind.type, c.kind) for c in facts.columns if c.name in plan.key)
    return replace(plan, columns=columns)


def _no_file(plan: Plan) -> errors.DataError:
    holds = "; ".join(("holds no Parquet file", *plan.remarks))
    return errors.DataError(f"{plan.files.entity}: the folder of {plan.files.date} {holds}")


def _check_ours(entity: str, facts: Facts, consent: Consent) -> None:
    """A table that pgpipe did not make is not overwritten because a folder has its name."""
    if facts.table and not facts.ours and not consent.named:
        raise errors.DataError(
            f"{entity}: pgpipe did not make the table {facts.schema}.{entity}, so it is left alone; to load into it,"
            f" write [entity.{toml_name(entity)}] in the configuration, or name it: --entity {entity}"
        )


def _check_owned(entity: str, facts: Facts, evolution: Evolution) -> None:
    """Only the owner of a table may change its shape."""
    assert facts.table is not None
    actions = [f'add column "{c.name}" {c.sql}' for c in evolution.add]
    actions += [f'alter column "{c.name}" type {c.sql}' for c in evolution.widen]
    if actions and not facts.access.owned:
        raise errors.DataError(
            f"{entity}: the files need another shape of {facts.table.qualified}, which only its owner may change:"
            f" alter table {facts.table.qualified} {', '.join(actions)}"
        )


def _check_order(plan: Plan, new: tuple[File, ...], ledger: Ledger, consent: Consent) -> str:
    """Refuse a date that would take the target back, or would double it. Returns why nothing has to be done, if so."""
    entity, day, newest = plan.files.entity, plan.files.date, max(ledger.dates, default=plan.files.date)
    if day < newest and "older" not in consent.accept:
        if plan.mode == "snapshot" and consent.until and newest <= consent.until:
            return f"nothing: the snapshot of {newest} is in the target"
        if not (consent.late and takes_late(plan.mode, ordered=bool(plan.changes and plan.changes.order))):
            raise too_old(plan.files, newest, new if consent.late else ())
    if not plan.repeatable and ledger.dates - {day}:
        raise needed_for_date(entity, day, newest)
    return ""


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
