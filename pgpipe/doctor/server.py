"""The server, examined: version, TLS, clock, what may be written, its settings, how it reads letters, pgvector."""

from collections.abc import Iterator
from datetime import UTC, datetime

from pgpipe.db import Connection
from pgpipe.doctor.finding import Finding, failure, ok, warning
from pgpipe.doctor.machine import compare_clocks
from pgpipe.settings.model import Settings

TESTED = 150000  # the oldest server that the tests run on
ITERATIVE = (0, 8)  # pgvector from here on goes on with a filtered scan until it has enough
# What the releases of pgvector mended (its CHANGELOG), newest first: a version below the first number has the fault.
FAULTS = (
    ((0, 8, 2), "can overflow a buffer while it builds an HNSW index in parallel (CVE-2026-3172)"),
    ((0, 8, 3), "can damage an HNSW index during vacuum"),
    ((0, 8, 4), "can fail to vacuum an HNSW index, and to insert into it meanwhile"),
)
MB = 1 << 20
ENOUGH = {"maintenance_work_mem": 64 * MB, "max_wal_size": 4096 * MB}
SETTINGS = "select pg_size_bytes(current_setting(%s))"
TLS = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
VECTOR = "select extversion from pg_extension where extname = 'vector'"
OFFERED = "select true from pg_available_extensions where name = 'vector'"
CONNECTIONS = """
    select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - (select count(*) from pg_stat_activity where backend_type = 'client backend')
"""
READ_ONLY = "select pg_is_in_recovery(), current_setting('transaction_read_only')::boolean"
# What the login began with, before it was pinned.
TIMEOUTS = """
    select name, reset_val || coalesce(unit, '') from pg_settings
     where name in ('statement_timeout', 'lock_timeout', 'transaction_timeout', 'idle_session_timeout',
                    'idle_in_transaction_session_timeout', 'default_transaction_read_only')
       and reset_val not in ('0', 'off') and setting <> reset_val order by name
"""
KEPT = {"statement_timeout", "lock_timeout", "transaction_timeout"}  # by questions
# Other encodings may lack the letter.
LETTERS = """
    select base.datctype::text,
           to_tsvector('pg_catalog.simple', U&'M\\00DCNCHEN') @@ to_tsquery('pg_catalog.simple', U&'m\\00FCnchen')
      from pg_catalog.pg_database base
     where base.datname = current_database() and current_setting('server_encoding') = 'UTF8'
"""


def _version(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    number = conn.info.server_version
    name = f"PostgreSQL {number // 10000}.{number % 10000} at {_where(conn)}, database {conn.info.dbname}"
    if number < TESTED:
        yield warning("database", name, "upgrade it: nothing older than PostgreSQL 15 is tested")
    else:
        yield ok("database", name)


def _where(conn: Connection) -> str:
    host = conn.info.host
    return "a local socket" if not host or host.startswith("/") else f"{host}:{conn.info.port}"


def _tls(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    if _where(conn) == "a local socket":
        yield ok("TLS", "none, by a local socket")
        return
    encrypted, version = conn.execute(TLS).fetchone() or (False, None)
    mode = conn.info.get_parameters().get("sslmode", "prefer")
    if not encrypted:
        yield warning("TLS", "the connection is not encrypted", "add sslmode=verify-full to database.url")
    elif mode != "verify-full":
        yield warning("TLS", f"{version}, but sslmode={mode} does not check who answers", "use sslmode=verify-full")
    else:
        yield ok("TLS", f"{version}, the server's certificate was checked")


def _clock(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    yield compare_clocks("database clock", row[0], datetime.now(UTC), 5)


def _writable(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """Whether loads and embedders may write here at all."""
    standby, read_only = conn.execute(READ_ONLY).fetchone() or (False, False)
    if standby:
        yield failure(
            "read-only",
            "this server is a standby: it answers searches, but can be neither loaded nor embedded",
            "for all else, set database.url to the primary server",
        )
    elif read_only:
        yield failure(
            "read-only",
            "the server's configuration sets default_transaction_read_only: nothing can be loaded or embedded",
            "look whether its disk is full; then alter system reset default_transaction_read_only",
        )


def _sizes(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    why = {
        "maintenance_work_mem": "vacuum of large tables goes over their indexes several times",
        "max_wal_size": "a large load forces checkpoints, each of which writes whole pages again",
    }
    for name, enough in ENOUGH.items():
        row = conn.execute(SETTINGS, (name,)).fetchone()
        assert row is not None
        if row[0] < enough:
            todo = f"alter system set {name} = '{enough // MB}MB'; select pg_reload_conf()"
            yield warning(name, f"{row[0] // MB} MB: {why[name]}", todo)
        else:
            yield ok(name, f"{row[0] // MB} MB")


def _timeouts(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """Settings of the role, the database or the server that could stop work, and what becomes of them."""
    for name, value in conn.execute(TIMEOUTS).fetchall():
        ours = "0" if name.endswith("timeout") else "off"
        effect = (
            f"loads and embedders set it to {ours}, questions keep it" if name in KEPT else f"pgpipe sets it to {ours}"
        )
        yield ok(name, f"{value} for {conn.info.user}: {effect}")


def _connections(conn: Connection, settings: Settings) -> Iterator[Finding]:
    row = conn.execute(CONNECTIONS).fetchone()
    assert row is not None
    if row[0] < settings.load.jobs + 2:
        yield warning(
            "connections",
            f"{row[0]} are free, a load takes {settings.load.jobs + 2}",
            "lower load.jobs, or raise max_connections",
        )
    else:
        yield ok("connections", f"{row[0]} are free")


def _letters(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """Whether words are found in whatever case they are written."""
    for locale, folds in conn.execute(LETTERS).fetchall():
        if not folds:
            yield warning(
                "letters",
                f"the database's lc_ctype is {locale}, which knows English letters only: münchen does not find MÜNCHEN",
                "dump it and restore it into a database made with: create database … template template0"
                " locale 'C.UTF-8'",
            )


def _vector(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    row = conn.execute(VECTOR).fetchone()
    if row is None and conn.execute(OFFERED).fetchone():
        yield warning(
            "pgvector",
            "not installed here: no vectors",
            "as a superuser: create extension vector; then `pgpipe migrate`",
        )
    elif row is None:
        yield warning(
            "pgvector", "the server does not have it: no vectors", "install postgresql-NN-pgvector on the server"
        )
    else:
        yield judge_vector(row[0])


def judge_vector(version: str) -> Finding:
    """What is known to be wrong with a version of pgvector."""
    number = tuple(int(part) for part in version.split(".")[:3])
    faults = [fault for mended, fault in FAULTS if number < mended]
    if number < ITERATIVE:
        faults.insert(0, "may find too little in a filtered vector search")
    if not faults:
        return ok("pgvector", version)
    return warning(
        "pgvector",
        f"{version} {'; it '.join(faults)}",
        "install pgvector 0.8.4 or later on the server, then alter extension vector update,"
        " then reindex each HNSW index: reindex index concurrently …",
    )


CHECKS = (_version, _tls, _clock, _writable, _sizes, _timeouts, _connections, _letters, _vector)
