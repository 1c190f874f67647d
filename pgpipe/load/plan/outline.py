"""The outline of a load: what ledger and catalogue say of it. Pure. Most runs find nothing to do, and need no more.

No module that this one imports reads Parquet: to import what does takes as long as all else of such a run.
"""

from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from pgpipe import errors
from pgpipe.load.ledger import Ledger
from pgpipe.load.plan.changes import Changes, changes_of
from pgpipe.load.plan.distribution import distribution_of, not_distributed
from pgpipe.load.plan.facts import Facts
from pgpipe.load.plan.gates import find_gates
from pgpipe.load.plan.history import NO_WISH, History, history_of
from pgpipe.load.plan.keys import Proposal, needed_for_date
from pgpipe.load.plan.order import rolled_back, takes_late, too_old
from pgpipe.load.plan.parts import Column, Evolution, Part
from pgpipe.load.plan.soft_delete import DELETED, SoftDelete, soft_delete_of
from pgpipe.settings.describe import toml_name
from pgpipe.settings.entity import EntitySettings, Mode
from pgpipe.settings.gates import Gates
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
    distributed_by: str | None = None  # the column by which the rows are, or will be, spread over servers
    adopts_key: bool = False  # the key takes the place of the one that was generated

    @property
    def is_staged(self) -> bool:
        """Whether rows that are appended are looked at together first."""
        return self.gates.of_whole_date or self.distributed_by is not None

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
        remarks=(*([sentence(files.ignored)] if files.ignored else []), *not_distributed(facts, settings)),
        distributed_by=distribution_of(files.entity, settings, mode, key, facts),
        gates=find_gates(settings, consent.accept),
        history=history_of(files.entity, settings, mode),
        soft_delete=soft_delete_of(files.entity, settings, mode, facts),
        changes=changes_of(files.entity, settings, mode, files.date, facts.ledger),
        repeatable=bool(key) or settings.mode == "append",
    )


def _outline_empty(plan: Plan) -> Plan:
    """A date without files: of a snapshot it would mean that all rows are gone."""
    if not (plan.target and plan.mode == "snapshot" and plan.key and not plan.files.ignored):
        raise no_file(plan)
    return replace(plan, action="merge")


def no_file(plan: Plan) -> errors.DataError:
    """What is said of a date without files."""
    holds = "; ".join(("holds no Parquet file", *plan.remarks))
    return errors.DataError(f"{plan.files.entity}: the folder of {plan.files.date} {holds}")


def _check_ours(entity: str, facts: Facts, consent: Consent) -> None:
    """A table that pgpipe did not make is not overwritten because a folder has its name."""
    if facts.table and not facts.ours and not consent.named:
        raise errors.DataError(
            f"{entity}: pgpipe did not make the table {facts.schema}.{entity}, so it is left alone; to load into it,"
            f" write [entity.{toml_name(entity)}] in the configuration, or name it: --entity {entity}"
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
