"""Distributed tables, examined: whether Citus knows the fence, and the servers that it spreads rows over."""

from collections.abc import Iterator

from pgpipe.db import Connection
from pgpipe.doctor.finding import Finding, failure, ok, warning
from pgpipe.settings.model import Settings

CHECK = "distributed tables"
HAS_CITUS = "select pg_catalog.to_regclass('pg_catalog.pg_dist_partition') is not null"
HAS_FENCE = "select pgpipe_internal.has_fence()"
DIFFERING = "select node, settings from pgpipe_internal.differing_nodes()"
UNFINISHED = "select node, transactions from pgpipe_internal.unfinished_nodes()"
SET = "alter database … set: TimeZone = 'UTC', DateStyle = 'ISO', IntervalStyle = 'postgres', bytea_output = 'hex'"


def _servers(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """Nothing is said of a database without Citus."""
    if conn.execute(HAS_CITUS).fetchone() == (False,):
        return
    if conn.execute(HAS_FENCE).fetchone() == (False,):
        yield failure(CHECK, "this database got the extension citus after pgpipe", "run `pgpipe migrate`")
        return
    bad = False
    for node, settings in conn.execute(DIFFERING).fetchall():
        bad = True
        yield failure(CHECK, f"{node} would write texts otherwise than pgpipe does: {settings}", SET)
    for node, count in conn.execute(UNFINISHED).fetchall():
        bad = True
        yield warning(
            CHECK,
            f"{count} transactions wait on {node} for more than a minute: searches may see half of a commit",
            "select recover_prepared_transactions(); then look at citus.recover_2pc_interval and max_worker_processes",
        )
    if not bad:
        yield ok(CHECK, "all servers write texts as pgpipe does, and no transaction waits to be recovered")


CHECKS = (_servers,)
