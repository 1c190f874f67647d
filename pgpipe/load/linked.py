"""One load of several entities that foreign keys link: planned together, and in the database all or none."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass

from pgpipe import errors
from pgpipe.db import Connection, retry, translated
from pgpipe.db.encoding import storable
from pgpipe.load.alive import alive
from pgpipe.load.loader import FAIL_LOAD, Loader, counted
from pgpipe.load.plan.links import because, in_order, read_links
from pgpipe.load.plan.outline import DONE, Consent, Plan
from pgpipe.load.write.run import Counts, Progress, Run, blamed
from pgpipe.settings.entity import EntitySettings
from pgpipe.source.layout import EntityFiles

Done = dict[str, tuple[Plan, Counts]]
Begun = defaultdict[str, list[tuple[Plan, int]]]


@dataclass(frozen=True)
class Member:
    """An entity of several."""

    files: EntityFiles
    settings: EntitySettings
    consent: Consent
    progress: Callable[[Plan], Progress]

    @property
    def entity(self) -> str:
        """Its name."""
        return self.files.entity


class LinkedLoader(Loader):
    """Loads entities that foreign keys link, in one transaction."""

    def load_all(self, members: Sequence[Member]) -> Done:
        """Bring the files of all into their targets, or of none.

        Raises:
            PgpipeError: any of the tree, with the entity that failed; all targets are as before.
        """
        begun: Begun = defaultdict(list)
        names = sorted(member.entity for member in members)

        def attempt() -> Done:
            with self._database.connect(autocommit=True, session=True) as conn, ExitStack() as locks:
                for name in names:  # two runs take them in one order
                    locks.enter_context(self._alone(conn, name))
                locks.enter_context(alive(self._database, names))
                return self._load_all(conn, members, begun)

        return retry(attempt, f"the load of {', '.join(names)}", self._tell)

    def _load_all(self, conn: Connection, members: Sequence[Member], begun: Begun) -> Done:
        plans: dict[str, Plan] = {}
        for member in members:
            with blamed(member.entity):
                plans[member.entity] = self.plan(conn, member.files, member.settings, member.consent)
        links = read_links(conn, self._database.schema, list(plans))
        order = in_order((name for name, plan in plans.items() if plan.action not in DONE), links)
        order += [name for name, plan in plans.items() if plan.action == "recognise"]
        runs = []
        for name in order:
            with blamed(name):
                begun[name].append((plans[name], self._begin(conn, plans[name])))
                runs.append(self._run(conn, *begun[name][-1], next(m for m in members if m.entity == name)))
        counts = self._written(runs, [link.name for link in links if link.deferrable])
        return {name: self._done(conn, plan, counts.get(name), begun[name]) for name, plan in plans.items()}

    def _run(self, conn: Connection, plan: Plan, load_id: int, member: Member) -> Run:
        from pgpipe.load.rows.rejects import Rejects

        parts, rejects = (self._database, self._source, self._jobs), Rejects(plan.key, plan.max_rejected)
        progress = member.progress(plan)
        return Run(*parts, conn, plan, load_id, lambda _conn, _table: None, progress, rejects, self._patience)

    def _written(self, runs: list[Run], deferrable: list[str]) -> dict[str, Counts]:
        """Write; a failure is written down for each, if there still is a connection."""
        if not runs:
            return {}
        from pgpipe.load.write.linked import write_linked

        try:
            return write_linked(runs, deferrable)
        except errors.PgpipeError as exc:
            failed, group = exc.entity, [run.entity for run in runs]
            with suppress(errors.Unreachable), translated():
                for run in runs:
                    why = str(exc) if failed in {None, run.entity} else because(str(failed), group)
                    run.conn.execute(FAIL_LOAD, (storable(run.conn, why), run.load_id))
            raise

    def _done(
        self, conn: Connection, plan: Plan, counts: Counts | None, begun: list[tuple[Plan, int]]
    ) -> tuple[Plan, Counts]:
        if counts is not None:
            return plan, counts
        return (begun[0][0], counted(conn, begun)) if begun else (plan, Counts())
