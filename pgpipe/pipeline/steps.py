"""Components: the steps that a pipeline does for each entity. A user's own is a class of the same shape."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Literal

from pgpipe import errors
from pgpipe.db import Connection, briefly, retry, translated
from pgpipe.embed import declare as embedding
from pgpipe.embed import index, queue
from pgpipe.load.linked import LinkedLoader, Member
from pgpipe.load.loader import Loader
from pgpipe.load.plan.outline import Plan
from pgpipe.load.write.run import Counts
from pgpipe.pipeline.component import Component
from pgpipe.pipeline.context import Advance, Context
from pgpipe.pipeline.group import Group
from pgpipe.pipeline.report import StageReport
from pgpipe.searching import declare as search
from pgpipe.searching import fill
from pgpipe.settings.describe import toml_name
from pgpipe.settings.entity import EntitySettings, SearchDeclaration
from pgpipe.source.layout import EntityFiles
from pgpipe.target import Target, at, require

WAITING = "select sum(waiting) from pgpipe.embedding_status where (schema, entity) = (%s, %s)"
NO_KEY = 'no key: before the next date, write {} or mode = "append" under [entity.{}]'

if TYPE_CHECKING:
    from pgpipe.embed.worker import Worker


class ParquetImporter(Component):
    """Files to target."""

    name = "import"

    def process_entity(self, entity: EntityFiles, context: Context) -> StageReport:
        """Load the files of the date, and with them those of the entities that foreign keys link to it."""
        group = context.groups.get(entity.entity)
        if group is not None:
            if not group.outcomes:
                self._load_group(group, context)
            return group.outcome(entity.entity)
        loader = Loader(context.database, context.source, context.settings.load.jobs, context.patience)
        settings, consent = context.entity(entity.entity), context.consent(entity.entity)

        def prepare(conn: Connection, table: Target) -> None:
            # Made with the empty table, the search column costs no second pass over the rows.
            if "search" not in context.skip and (declared := _search_plan(entity, settings, context)):
                search.enable(conn, table, declared, index=False)

        with ExitStack() as stack:
            plan, counts = loader.load(entity, settings, prepare, _bar(entity, context, stack), consent)
        return self._reported(entity, plan, counts)

    def _load_group(self, group: Group, context: Context) -> None:
        loader = LinkedLoader(context.database, context.source, context.settings.load.jobs, context.patience)
        with ExitStack() as stack:
            members = [
                Member(files, context.entity(name), context.consent(name), _bar(files, context, stack))
                for name, files in zip(group.names, group.members, strict=True)
            ]
            try:
                done = loader.load_all(members)
            except errors.PgpipeError as exc:
                group.fail(exc.entity, exc)
                return
        group.outcomes |= {files.entity: self._reported(files, *done[files.entity]) for files in group.members}

    def _reported(self, entity: EntityFiles, plan: Plan, counts: Counts) -> StageReport:
        rows = asdict(counts)
        for only_said in ("filled", "kept"):
            rows.pop(only_said)
        return StageReport(entity.entity, self.name, _state(plan), **rows, note=_note(plan, counts))


class SearchIndexer(Component):
    """The search column, its index and its lexeme table."""

    name = "search"

    def process_entity(self, entity: EntityFiles, context: Context) -> StageReport:
        """Declare the search column where it is missing, and refresh what ranking reads."""
        return retry(lambda: self._index(entity, context), f"the search column of {entity.entity}", context.tell)

    def _index(self, entity: EntityFiles, context: Context) -> StageReport:
        settings = context.entity(entity.entity)
        schema = context.database.schema
        with context.database.connect(autocommit=True, session=True) as conn, translated():
            target = at(conn, schema, entity.entity)
            known = target is not None and search.is_declared(conn, target)
            declared = _search_plan(entity, settings, context) if settings.search or not known else None
            if declared is None and not known:
                return StageReport(entity.entity, self.name, "skipped", note=_why_not(settings.search))
            target = target or require(conn, schema, entity.entity)
            if declared:
                wanted = declared
                briefly(conn, target.held, context.patience, lambda: search.ensure(conn, target, wanted))
            filled = [self._fill(conn, pending, context) for pending in fill.pending(conn, target)]
            if declared:
                search.set_title(conn, target, declared)
            if settings.ranking:
                search.set_ranking(conn, target, settings.ranking)
            search.refresh(conn, target)
            fill.build_indexes(conn, target)
        return StageReport(entity.entity, self.name, note="; ".join(filled))

    def _fill(self, conn: Connection, target: fill.Pending, context: Context) -> str:
        """A target in use gets its column online: what it has serves meanwhile."""
        with context.bar(f"{target.name}: search", max(target.rows - target.filled, 0)) as advance:
            done = fill.fill(conn, target, advance)
        return "search column filled" if done else "another process fills the search column"


class EmbeddingsGenerator(Component):
    """The embedding: declared, and with `drain` worked off."""

    name = "embed"

    def __init__(self, *, drain: bool = False) -> None:
        self._drain = drain
        self._worker: Worker | None = None
        self._advance: Advance = lambda _jobs: None

    def process_entity(self, entity: EntityFiles, context: Context) -> StageReport:
        """Declare the embedding where it is missing, which enqueues all rows; then compute what is waiting."""
        what = f"the embedding of {entity.entity}"
        settings = context.entity(entity.entity)
        try:
            if not retry(lambda: self._declare(entity, settings, context), what, context.tell):
                return StageReport(entity.entity, self.name, "skipped", note=_why_not(settings.embed))
        except errors.VectorsMissing as exc:
            return StageReport(entity.entity, self.name, "skipped", note=str(exc))
        target, waiting = retry(lambda: self._await(entity, context), what, context.tell)
        if not self._drain or not waiting:
            note = f"{waiting:,} rows wait for `pgpipe embedder`" if waiting else "all vectors are fresh"
            return StageReport(entity.entity, self.name, "ok" if waiting else "nothing to do", note=note)
        return self._work_off(target, context, waiting, what)

    def _await(self, entity: EntityFiles, context: Context) -> tuple[Target, int]:
        """The table, and how many rows wait for their vectors; where none does, the vectors are indexed."""
        with context.database.connect(autocommit=True) as conn:
            target = require(conn, context.database.schema, entity.entity)
            waiting = _waiting(conn, target)
            if not waiting:  # a worker that does not own the store may not index it
                for declared in queue.embeddings(conn):
                    if declared.target == target:
                        index.build(context.database, declared, context.settings.embedding.index)
        return target, waiting

    def _declare(self, files: EntityFiles, settings: EntitySettings, context: Context) -> bool:
        with context.database.connect(autocommit=True) as conn, translated():
            target = require(conn, context.database.schema, files.entity)
            known = embedding.find(conn, target)
            if known and settings.embed is None:
                return True
            choices = context.choices(files) if settings.embed is None else []
            declared = embedding.plan_embedding(settings, choices)
            if declared is None:
                return False
            if known and known.serves(declared, context.settings.embedding.model):
                embedding.keep(conn, target, declared, known.name)
                return True
            from pgpipe.embed.model.base import dimensions
            from pgpipe.embed.model.prompts import lacking

            dims = dimensions(context.settings.embedding)
            name = known.name if known else "default"
            model, wanted = context.settings.embedding.model, declared
            if missing := lacking(context.settings.embedding):
                context.tell(f"the model {model!r} is made for prompts and has none; set {missing}")
            patience, table = context.patience, target.held
            briefly(conn, table, patience, lambda: embedding.enable(conn, target, wanted, model, dims, name))
            return True

    def _work_off(self, target: Target, context: Context, waiting: int, what: str) -> StageReport:
        from pgpipe.embed.totals import Hooks
        from pgpipe.embed.worker import Worker

        with context.bar(f"{target.name}: embed", waiting) as advance:
            self._advance = advance
            if self._worker is None:
                hooks = Hooks(progress=lambda _target, jobs: self._advance(jobs))
                self._worker = Worker(context.database, context.settings.embedding, hooks)
            worker = self._worker
            before = replace(worker.totals, embedded=dict(worker.totals.embedded))
            after = retry(lambda: worker.drain([target]), what, context.tell)
        failed = after.failed - before.failed
        note = f"{failed} rows failed; see `pgpipe jobs list`" if failed else ""
        embedded = after.embedded.get(target.pair, 0) - before.embedded.get(target.pair, 0)
        return StageReport(
            target.name,
            self.name,
            "failed" if failed else "ok",
            unchanged=after.fresh - before.fresh,
            embedded=embedded,
            note=note,
            exit_code=int(bool(failed)),
        )


def _bar(entity: EntityFiles, context: Context, stack: ExitStack) -> Callable[[Plan], Advance]:
    """A bar that opens once the plan says how many rows there are."""
    return lambda plan: stack.enter_context(context.bar(f"{entity.entity}: load", plan.rows))


def _search_plan(files: EntityFiles, settings: EntitySettings, context: Context) -> SearchDeclaration | None:
    choices = context.choices(files) if settings.search is None else []
    return search.plan_search(settings, choices).declaration


def _state(plan: Plan) -> Literal["ok", "nothing to do"]:
    return "nothing to do" if plan.action in {"nothing", "recognise"} else "ok"


def _note(plan: Plan, counts: Counts) -> str:
    return "; ".join(filter(None, (_done(plan, counts), *plan.remarks)))


def _done(plan: Plan, counts: Counts) -> str:
    files = len(plan.skipped)
    if plan.action == "recognise":
        return f"the same bytes as the snapshot before: {files} file{'s' * (files != 1)} recognised"
    if plan.action == "nothing":
        return plan.superseded or f"{files} file{'s' * (files != 1)} in the ledger"
    notes = ["table made, its indexes after its rows"] if plan.action == "create" else []
    notes += [f"new column {c.name}" for c in plan.evolution.add]
    notes += [f"{counts.filled:,} rows written to fill it"] if counts.filled else []
    notes += [f"{c.name} widened to {c.sql}" for c in plan.evolution.widen]
    notes += [f"{counts.rejected:,} rows rejected, kept in pgpipe.rejected_row"] if counts.rejected else []
    notes += [f"{counts.mended:,} bad values stripped or cleared"] if counts.mended else []
    if counts.left_out:
        notes.append(f"{counts.left_out:,} rows left out by a trigger, rule or policy of the target")
    if counts.kept:
        notes.append(f"{counts.kept:,} rows not deleted, kept by a trigger, rule or policy of the target")
    if not plan.key:
        notes.append("no key: rows are appended" if plan.repeatable else _advice(plan))
    return "; ".join(notes)


def _advice(plan: Plan) -> str:
    line = plan.proposal.line if plan.proposal else 'key = ["…"]'
    reason = f": {plan.proposal.reason}" if plan.proposal else ""
    return NO_KEY.format(line, toml_name(plan.files.entity)) + reason


def _why_not(setting: object) -> str:
    return "switched off" if setting is False else "no column holds prose"


def _waiting(conn: Connection, target: Target) -> int:
    with translated():
        row = conn.execute(WAITING, target.pair).fetchone()
    return int(row[0] or 0) if row else 0
