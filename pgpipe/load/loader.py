"""One load of one entity: alone, planned, done, recorded, and retried if the database or the source was lost."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import psycopg
from psycopg.rows import dict_row

from pgpipe import errors
from pgpipe.db import PATIENCE, Connection, Database, Patience, briefly, one, retry, translated
from pgpipe.db.encoding import storable
from pgpipe.load.alive import alive
from pgpipe.load.plan.make import make_plan
from pgpipe.load.plan.outline import CAREFUL, Consent, Plan
from pgpipe.load.plan.scene import TODAY, Scene
from pgpipe.load.write.run import KEEP_LEDGER, Counts, Prepare, Progress, Run
from pgpipe.log import get_logger
from pgpipe.settings.entity import EntitySettings
from pgpipe.source import Source
from pgpipe.source.layout import EntityFiles

log = get_logger(__name__)

LOCK = "select pg_try_advisory_lock(hashtext('pgpipe load'), hashtext(format('%%I.%%I', %s::text, %s::text)))"
UNLOCK = "select pg_advisory_unlock(hashtext('pgpipe load'), hashtext(format('%%I.%%I', %s::text, %s::text)))"
KEPT = 64 << 20  # bytes of small files that are read with their footers
ASK = 0.2  # seconds between two tries for the lock
BROKEN_OFF = """
    update pgpipe.load
       set finished_at = coalesce(alive_at, started_at), error = pgpipe_internal.broken_off(alive_at)
     where schema = %s and entity = %s and finished_at is null
"""
BEGIN_LOAD = """
    insert into pgpipe.load (entity, schema, date, mode, replaced)
    values (%(entity)s, %(schema)s, %(date)s, %(mode)s, %(replaced)s)
    returning load_id
"""
COUNTED = """
    select sum(read)::bigint as read, sum(inserted)::bigint as inserted, sum(updated)::bigint as updated,
           sum(deleted)::bigint as deleted, sum(unchanged)::bigint as unchanged, sum(rejected)::bigint as rejected,
           sum(left_out)::bigint as left_out, sum(superseded)::bigint as superseded, sum(deletes)::bigint as deletes
      from pgpipe.load where load_id = any (%s)
"""
FAIL_LOAD = "update pgpipe.load set finished_at = clock_timestamp(), error = %s where load_id = %s"


class Loader:
    """Loads entities of one source into one database."""

    def __init__(self, database: Database, source: Source, jobs: int, patience: Patience = PATIENCE) -> None:
        self._patience = patience
        self._tell = patience.tell
        self._database = database
        self._source = source
        self._jobs = jobs

    def plan(
        self,
        conn: Connection,
        files: EntityFiles,
        settings: EntitySettings,
        consent: Consent = CAREFUL,
        scene: Scene = TODAY,
    ) -> Plan:
        """Decide what to do; touches nothing.

        Raises:
            DataError: the files, or the files and the target, do not agree; the message says what and where.
        """
        return make_plan(conn, self._database.schema, self._source, files, settings, consent, scene)

    def load(
        self,
        files: EntityFiles,
        settings: EntitySettings,
        prepare: Prepare,
        progress: Callable[[Plan], Progress],
        consent: Consent = CAREFUL,
    ) -> tuple[Plan, Counts]:
        """Bring the files into its target; whole or, where it fails, not at all (`append`: file by file).

        Args:
            files: the files.
            settings: key and mode.
            prepare: called with a new table, which is still empty, before rows are copied into it.
            progress: called with the plan; returns what is called with the rows sent.
            consent: what the user has agreed to.

        Raises:
            PgpipeError: any of the tree; the target is as before.
        """
        begun: list[tuple[Plan, int]] = []

        def attempt() -> tuple[Plan, Counts]:
            with (
                self._database.connect(autocommit=True, session=True) as conn,
                self._alone(conn, files.entity),
                alive(self._database, [files.entity]),
            ):
                plan = self.plan(conn, files, settings, consent, Scene(keep=KEPT))
                if plan.action == "nothing":
                    return (begun[0][0], counted(conn, begun)) if begun else (plan, Counts())
                begun.append((plan, self._begin(conn, plan)))
                counts = self._recorded(conn, *begun[-1], prepare, progress)
                return plan, counted(conn, begun) if len(begun) > 1 and plan.mode == "append" else counts

        return retry(attempt, f"the load of {files.entity}", self._tell)

    @contextmanager
    def _alone(self, conn: Connection, entity: str) -> Iterator[None]:
        """One load of an entity at a time: the others wait, and say so."""
        target = self._database.schema, entity
        with translated():
            if not one(conn, LOCK, target):
                log.warning("another load of this entity is running; waiting for it to end", entity=entity)
                self._tell(f"another load of {entity} is running; waiting for it to end")
                while not one(conn, LOCK, target):  # one statement that waits would hold back vacuum, and be silent
                    time.sleep(ASK)
            conn.execute(BROKEN_OFF, target)  # the load that left these held the lock that we hold
        try:
            yield
        finally:  # closing alone would leave it to the server when, and who comes next would wait
            with suppress(psycopg.Error):
                conn.execute(UNLOCK, target)

    def _begin(self, conn: Connection, plan: Plan) -> int:
        entity, schema = plan.files.entity, self._database.schema
        known = {"entity": entity, "schema": schema, "date": plan.files.date, "mode": plan.mode}
        known["replaced"] = plan.replaced
        if plan.target:  # the plan let it pass: from now on the table is pgpipe's to load
            keep = (plan.target.oid, entity)
            briefly(conn, plan.target.held, self._patience, lambda: conn.execute(KEEP_LEDGER, keep))
        with translated():
            return int(one(conn, BEGIN_LOAD, known))

    def _recorded(
        self,
        conn: Connection,
        plan: Plan,
        load_id: int,
        prepare: Prepare,
        progress: Callable[[Plan], Progress],
    ) -> Counts:
        """Run; a failure is written down, if there still is a connection."""
        from pgpipe.load.rows.rejects import Rejects
        from pgpipe.load.write.whole import write

        try:
            rejects = Rejects(plan.key, plan.max_rejected)
            parts = self._database, self._source, self._jobs
            return write(Run(*parts, conn, plan, load_id, prepare, progress(plan), rejects, self._patience))
        except errors.PgpipeError as exc:
            with suppress(errors.Unreachable), translated():
                conn.execute(FAIL_LOAD, (storable(conn, str(exc)), load_id))
            raise


def counted(conn: Connection, begun: list[tuple[Plan, int]]) -> Counts:
    """What several attempts did together, as each wrote it down with its rows."""
    with translated(), conn.cursor(row_factory=dict_row) as cursor:
        done = cursor.execute(COUNTED, ([load_id for _, load_id in begun],)).fetchone()
    return Counts(**(done or {}))
