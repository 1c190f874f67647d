"""Gates on staged rows: the checks of the configuration, which run in the load's transaction before it writes.

A check is SQL from the configuration. It runs with the loader's own rights: as one statement, read-only, for a
bounded time, in a savepoint that is rolled back whatever it did.
It meets no code of roles that may merely create objects.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import psycopg

from pgpipe.db import Connection, one, translate
from pgpipe.errors import GateFailed
from pgpipe.load.plan.gates import require_rows
from pgpipe.load.write.run import Run
from pgpipe.log import get_logger
from pgpipe.mask import said
from pgpipe.settings.gates import Check

log = get_logger(__name__)

STATEMENT = "select pgpipe_internal.check_statement(%s::oid::regclass, %s::oid::regclass, %s, %s, %s, %s, %s)"
# In a schema that any role may create in, another role's operator may fit a check better than that of PostgreSQL.
BOUNDS = """
    select pg_catalog.set_config('statement_timeout', %s, true),
           pg_catalog.set_config('transaction_read_only', 'on', true),
           pg_catalog.set_config('search_path', pg_catalog.concat_ws(', ', 'pg_catalog', (
               select pg_catalog.string_agg(pg_catalog.quote_ident(home.nspname), ', ' order by listed.place)
                 from pg_catalog.unnest(pg_catalog.current_schemas(false)) with ordinality listed (name, place)
                 join pg_catalog.pg_namespace home on home.nspname operator(pg_catalog.=) listed.name
                where not exists (select from pg_catalog.aclexplode(home.nspacl) granted
                                   where granted.grantee operator(pg_catalog.=) 0::pg_catalog.oid
                                     and granted.privilege_type operator(pg_catalog.=) 'CREATE')), 'pg_temp'), true)
"""
TRANSIENT = ("08", "57P", "40", "53")  # SQLSTATEs that say nothing of the check
WRITES, LATE, NO_COLUMN = "25006", "57014", "42703"


@dataclass(frozen=True)
class Breach:
    """A check that staged rows do not meet, or that cannot be computed."""

    check: Check
    message: str


def check_staged(run: Run, staging: int, rows: int, target: int | None) -> tuple[str, ...]:
    """Hold staged rows against `min_rows` and the checks. Returns what those that only warn have found.

    Args:
        run: the load, whose transaction is open.
        staging: oid of the staging table.
        rows: that are staged.
        target: oid of the target; None if there is none yet.

    Raises:
        GateFailed: a gate is not met.
    """
    plan = run.plan
    require_rows(run.entity, plan.files.date, rows + plan.before, plan.gates)
    breaches = list(find_breaches(run, staging, target))
    if failed := [breach.message for breach in breaches if breach.check.level == "error"]:
        raise GateFailed(
            f"{run.entity}: {'; '.join(failed)}; nothing was changed; if the files are right, let them pass once with"
            " `--accept checks`"
        )
    warnings = tuple(breach.message for breach in breaches)
    for message in warnings:
        log.warning("check", entity=run.entity, found=message)
    return warnings


def find_breaches(run: Run, staging: int, target: int | None) -> Iterator[Breach]:
    """The checks that staged rows do not meet.

    Raises:
        PgpipeError: the connection was lost, or another transaction was in the way.
    """
    plan = run.plan
    names, key = [column.name for column in plan.columns], list(plan.key) if plan.action != "append" else []
    for check in plan.gates.checks:
        check_sql = check.sql.strip().rstrip(";")
        values = (target, staging, names, key, run.entity, check_sql, plan.soft_delete.column)
        try:
            count, examples = _ask(run.conn, one(run.conn, STATEMENT, values), plan.gates.check_timeout)
        except psycopg.Error as exc:
            if exc.sqlstate is None or exc.sqlstate.startswith(TRANSIENT):
                raise translate(exc) from exc
            yield Breach(check, f"the check {_named(check)} {_why(exc, run)}")
            continue
        if count:
            rows = f"{count:,} rows break" if count > 1 else "1 row breaks"
            such = f", such as {'; '.join(filter(None, examples))}" if any(examples) else ""
            yield Breach(check, f"{rows} the check {_named(check)}{such}")


def _ask(conn: Connection, statement: str, timeout: float) -> tuple[int, list[str]]:
    with conn.transaction(force_rollback=True):
        conn.execute(BOUNDS, (str(round(timeout * 1000)),))
        # Asked for in binary form, it is sent by the protocol that takes one statement only.
        found = conn.execute(statement.encode(), binary=True).fetchone()
    assert found is not None
    count, examples = found
    return count, examples


def _named(check: Check) -> str:
    return f'"{" ".join(check.sql.split())}"'


def _why(exc: psycopg.Error, run: Run) -> str:
    first = said(exc).splitlines()[0]  # it may quote the rest of the statement
    if exc.sqlstate == WRITES:
        return f"is refused, because it would write: {first}"
    if exc.sqlstate == LATE:
        return f"was cancelled: {first}; a check may take the {run.plan.gates.check_timeout:g} s of load.check_timeout"
    if exc.sqlstate == NO_COLUMN:  # as when one was renamed since
        settings = f"under [entity.{run.entity}] or [load]"
        return f"cannot be computed: {first} in the rows of {run.entity}; correct it in `checks`, {settings}"
    return f"cannot be computed: {first}"
