"""The database, examined: version, TLS, schema, rights, pgvector, the settings that matter, the queue, its clock."""

from collections.abc import Iterator
from datetime import UTC, datetime

from pgpipe.db import Connection, Database, translated
from pgpipe.doctor.finding import Finding, failure, ok, warning
from pgpipe.doctor.machine import compare_clocks
from pgpipe.doctor.roles import examine_queue_role
from pgpipe.errors import DatabaseError, SchemaMissing
from pgpipe.schema import VERSION, require_version
from pgpipe.settings.model import Settings

TESTED = 150000  # the oldest server that the tests run on
ITERATIVE = (0, 8)  # pgvector from here on goes on with a filtered scan until it has enough
MB = 1 << 20
ENOUGH = {"maintenance_work_mem": 64 * MB, "max_wal_size": 4096 * MB}
SETTINGS = "select pg_size_bytes(current_setting(%s))"
TLS = "select ssl, version from pg_stat_ssl where pid = pg_backend_pid()"
RIGHTS = """
    select current_user::text,
           has_schema_privilege(%(schema)s, 'create') and has_table_privilege('pgpipe.load', 'insert')
               and has_schema_privilege('pgpipe_staging', 'create') as loads,
           has_table_privilege('pgpipe.job', 'update') as embeds,
           has_table_privilege('pgpipe.search', 'select') as searches
"""
NOT_OWNED = """
    select c.oid::regclass::text from pg_catalog.pg_trigger g join pg_catalog.pg_class c on c.oid = g.tgrelid
     where g.tgname = 'pgpipe_ledger' and not pg_has_role(c.relowner, 'usage') order by 1
"""
VECTOR = "select extversion from pg_extension where extname = 'vector'"
OFFERED = "select true from pg_available_extensions where name = 'vector'"
WIDE = """
    select c.oid::regclass::text, e.dims from pgpipe.embedding e join pg_catalog.pg_class c on c.oid = e.target
     where e.dims > 4000
"""
SUSPENDED = """
    select c.oid::regclass::text, e.filter_error from pgpipe.embedding e join pg_catalog.pg_class c on c.oid = e.target
     where e.filter_error is not null
"""
LANGUAGES = """
    select c.oid::regclass::text, s.language from pgpipe.search s join pg_catalog.pg_class c on c.oid = s.target
     where pgpipe_internal.find_language(s.language) is null order by 1
"""
# pg_upgrade refuses a cluster that has columns of these types, or of types made of them.
NOT_UPGRADABLE = """
    with recursive made_of (part, whole) as materialized (
        select t.typbasetype, t.oid from pg_catalog.pg_type t where t.typbasetype <> 0
        union all select t.typelem, t.oid from pg_catalog.pg_type t where t.typelem <> 0 and t.typcategory = 'A'
        union all select g.rngsubtype, g.rngtypid from pg_catalog.pg_range g
        union all select a.atttypid, t.oid
                    from pg_catalog.pg_attribute a join pg_catalog.pg_type t on t.typrelid = a.attrelid
                   where a.attnum > 0 and not a.attisdropped
    ), refused (oid) as (
        select t.oid from pg_catalog.pg_type t
         where t.typnamespace = 'pg_catalog'::regnamespace
           and t.typname in ('regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator',
                             'regproc', 'regprocedure')
        union
        select made_of.whole from refused join made_of on made_of.part = refused.oid
    )
    select c.oid::regclass::text, pg_catalog.quote_ident(a.attname), pg_catalog.format_type(a.atttypid, a.atttypmod)
      from refused r
      join pg_catalog.pg_attribute a on a.atttypid = r.oid and a.attnum > 0 and not a.attisdropped
      join pg_catalog.pg_class c on c.oid = a.attrelid and c.relkind in ('r', 'p', 'm') and not c.relispartition
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
     order by 1, 2
"""
COVERAGE = """
    select e.target::text || case e.name when 'default' then '' else ' (' || e.name || ')' end,
           pgpipe_internal.coverage_doubt(e, s.definition, (select min(m.sqlstate) from pgpipe.missed m
                                                   where m.embedding_id = e.embedding_id)),
           coalesce(pgpipe_internal.hidden_rows(e, to_regrole(quote_ident(current_user))),
                    pgpipe_internal.hidden_rows(e, pgpipe_internal.worker_role()))
      from pgpipe.embedding e left join pgpipe.sweep s using (embedding_id)
     where exists (select from pg_catalog.pg_class c where c.oid = e.target) order by e.embedding_id
"""
QUEUE = """
    select current_setting('autovacuum')::boolean and 'autovacuum_enabled=false' <> all (coalesce(c.reloptions, '{}')),
           coalesce(s.n_dead_tup, 0), coalesce(s.n_live_tup, 0)
      from pg_catalog.pg_class c left join pg_catalog.pg_stat_user_tables s on s.relid = c.oid
     where c.oid = 'pgpipe.job'::regclass
"""
CONNECTIONS = """
    select current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
           - (select count(*) from pg_stat_activity where backend_type = 'client backend')
"""


def examine(settings: Settings, database: Database) -> Iterator[Finding]:
    """Every check on one connection, in which nothing is written."""
    with database.connect(autocommit=True) as conn, translated():
        yield _version(conn)
        yield _tls(conn)
        yield _clock(conn)
        yield from _sizes(conn)
        yield _connections(conn, settings.load.jobs)
        yield _vector(conn)
        try:
            require_version(conn)
        except SchemaMissing as exc:
            yield failure("schema", str(exc), exit_code=exc.exit_code)
            return
        except DatabaseError as exc:  # not even let into the schema
            yield failure("rights", f"{conn.info.user}: {exc}", "grant it one of the roles of `pgpipe roles`")
            return
        yield ok("schema", f"version {VERSION}")
        yield from _rights(conn, database.schema)
        yield from examine_queue_role(conn)
        yield from _queue(conn)
        yield from _languages(conn)


def _languages(conn: Connection) -> Iterator[Finding]:
    """What a search needs and lacks, and what keeps this cluster from an upgrade."""
    for entity, language in conn.execute(LANGUAGES).fetchall():
        yield failure(
            "language",
            f"{entity} is searched by the text search configuration {language}, which does not exist",
            "give it back its name, or name another one with pgpipe.alter_search",
        )
    for table, column, type_ in conn.execute(NOT_UPGRADABLE).fetchall():
        yield warning(
            "pg_upgrade",
            f"it refuses this cluster for the column {column} of {table}, which is of type {type_}",
            f"alter table {table} alter column {column} type text; if it is the language column of a search,"
            " call pgpipe.disable_search before and pgpipe.enable_search after",
        )


def _version(conn: Connection) -> Finding:
    number = conn.info.server_version
    name = f"PostgreSQL {number // 10000}.{number % 10000} at {_where(conn)}, database {conn.info.dbname}"
    if number < TESTED:
        return warning("database", name, "upgrade it: nothing older than PostgreSQL 15 is tested")
    return ok("database", name)


def _where(conn: Connection) -> str:
    host = conn.info.host
    return "a local socket" if not host or host.startswith("/") else f"{host}:{conn.info.port}"


def _tls(conn: Connection) -> Finding:
    if _where(conn) == "a local socket":
        return ok("TLS", "none, by a local socket")
    encrypted, version = conn.execute(TLS).fetchone() or (False, None)
    mode = conn.info.get_parameters().get("sslmode", "prefer")
    if not encrypted:
        return warning("TLS", "the connection is not encrypted", "add sslmode=verify-full to database.url")
    if mode != "verify-full":
        return warning("TLS", f"{version}, but sslmode={mode} does not check who answers", "use sslmode=verify-full")
    return ok("TLS", f"{version}, the server's certificate was checked")


def _clock(conn: Connection) -> Finding:
    row = conn.execute("select clock_timestamp()").fetchone()
    assert row is not None
    return compare_clocks("database clock", row[0], datetime.now(UTC), 5)


def _sizes(conn: Connection) -> Iterator[Finding]:
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


def _connections(conn: Connection, jobs: int) -> Finding:
    row = conn.execute(CONNECTIONS).fetchone()
    assert row is not None
    if row[0] < jobs + 2:
        return warning(
            "connections", f"{row[0]} are free, a load takes {jobs + 2}", "lower load.jobs, or raise max_connections"
        )
    return ok("connections", f"{row[0]} are free")


def _vector(conn: Connection) -> Finding:
    row = conn.execute(VECTOR).fetchone()
    if row is None and conn.execute(OFFERED).fetchone():
        return warning(
            "pgvector",
            "not installed here: no vectors",
            "as a superuser: create extension vector; then `pgpipe migrate`",
        )
    if row is None:
        return warning(
            "pgvector", "the server does not have it: no vectors", "install postgresql-NN-pgvector on the server"
        )
    if tuple(int(part) for part in row[0].split(".")[:2]) < ITERATIVE:
        return warning(
            "pgvector", f"{row[0]}: a filtered vector search may find too little", "alter extension vector update"
        )
    return ok("pgvector", row[0])


def _rights(conn: Connection, schema: str) -> Iterator[Finding]:
    row = conn.execute(RIGHTS, {"schema": schema}).fetchone()
    assert row is not None
    who, *may = row
    parts = [part for part, allowed in zip(("load", "embed", "search"), may, strict=True) if allowed]
    if not parts:
        yield failure(
            "rights", f"{who} may neither load, embed nor search", "grant it one of the roles of `pgpipe roles`"
        )
        return
    yield ok("rights", f"{who} may {', '.join(parts)}")
    strangers = [name for (name,) in conn.execute(NOT_OWNED).fetchall()] if "load" in parts else []
    if strangers:
        todo = f"alter table {strangers[0]} owner to {who}"
        yield warning("rights", f"{who} does not own {', '.join(strangers)}: new columns cannot be added", todo)


def _queue(conn: Connection) -> Iterator[Finding]:
    row = conn.execute(QUEUE).fetchone()
    assert row is not None
    vacuumed, dead, live = row
    if not vacuumed:
        yield warning(
            "queue",
            "autovacuum is off: every claim reads the rows of finished jobs",
            "alter system set autovacuum = on",
        )
    elif dead > 10 * live + 100_000:
        yield warning(
            "queue", f"{dead:,} dead rows beside {live:,}", "vacuum pgpipe.job; look for transactions open for hours"
        )
    else:
        yield ok("queue", f"autovacuum is on, {dead:,} dead rows")
    yield from _coverage(conn)
    for entity, dims in conn.execute(WIDE).fetchall():
        todo = "a model of at most 4000 dimensions can be indexed (HNSW, halfvec)"
        yield warning("vector index", f"{entity} has vectors of {dims} dimensions: every search reads them all", todo)
    for entity, reason in conn.execute(SUSPENDED).fetchall():
        todo = "run `pgpipe reconcile`, or pgpipe.enable_filters with columns that can be kept"
        yield warning("filter table", f"that of {entity} is out of service: {reason}", todo)


def _coverage(conn: Connection) -> Iterator[Finding]:
    """Whether coverage is known: which rows have a vector of their present text. Each reason says what to do."""
    for embedding, doubt, hidden in conn.execute(COVERAGE).fetchall():
        for check, reason in (("coverage", doubt), ("row security", hidden)):
            if reason:
                what, _, todo = reason.partition(": ")
                yield warning(check, f"{embedding}: {what}", todo)
