"""The scene of a plan: a database that is not migrated yet, and what loads of earlier dates will have done by then."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pgpipe.db import Connection
from pgpipe.errors import DataError
from pgpipe.load.ledger import Entry, Ledger
from pgpipe.load.plan.facts import Facts
from pgpipe.load.plan.outline import Plan
from pgpipe.load.plan.target import has_rows
from pgpipe.target import at


@dataclass(frozen=True)
class Scene:
    """What a plan supposes."""

    migrated: bool = True  # the database is
    earlier: tuple[Plan, ...] = ()  # of the same entity, for the dates before it in a range
    keep: int = 0  # bytes of small files that are kept, because their rows are read next

    @property
    def is_created(self) -> bool:
        """Whether the table will have been made by then."""
        return any(plan.action == "create" for plan in self.earlier)

    def ledger(self, found: Ledger) -> Ledger:
        """The ledger as it will be."""
        for plan in self.earlier:
            if plan.action != "nothing":
                found = _after(found, plan)
        return found


TODAY = Scene()


def _after(ledger: Ledger, plan: Plan) -> Ledger:
    whole = plan.mode == "snapshot"
    read = plan.files.files if whole else plan.reads
    replaced = {file.uri for file in read} if plan.mode == "upsert" else set()
    kept = [] if whole else [entry for entry in ledger.entries if entry.file not in replaced]
    now = datetime.now(UTC)
    return Ledger([*kept, *(Entry(file.uri, file.identity, file.bytes, plan.files.date, now) for file in read)])


def foresee_facts(conn: Connection, schema: str, entity: str) -> Facts:
    """What is known of a target before `pgpipe migrate`: that it is not there.

    Raises:
        DataError: a table has its name.
    """
    table = at(conn, schema, entity)
    if table is not None:
        raise DataError(
            f"{entity}: the table {table.qualified} is there; what a load would do with it, `pgpipe plan` says after"
            " `pgpipe migrate`"
        )
    return Facts(schema)


def with_doubt(conn: Connection, plan: Plan, facts: Facts) -> Plan:
    """The plan of a load that has nothing to do, with a remark if the target has none of the ledger's rows."""
    rows = sum(entry.rows for entry in facts.ledger.entries)
    if facts.table is None or not rows or facts.access.obstacles.get(plan.mode) or has_rows(conn, facts.table):
        return plan
    remark = (
        f"{facts.table.qualified} is empty, though the ledger has {rows:,} rows of its files; to load them again:"
        f" truncate {facts.table.qualified}"
    )
    return replace(plan, remarks=(*plan.remarks, remark))
