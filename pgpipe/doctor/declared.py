"""What is declared, examined: searches and embeddings whose tables changed behind their back."""

from collections.abc import Iterator

from pgpipe.db import Connection
from pgpipe.doctor.finding import Finding, failure, warning
from pgpipe.settings.model import Settings

SAMPLE = 1000  # vectors of each embedding whose rows are looked for
WIDE = """
    select c.oid::regclass::text, e.dims from pgpipe.embedding e join pg_catalog.pg_class c on c.oid = e.target
     where e.dims > 4000 and e.index_precision <> 'bit'
"""
DECAYED = """
    select c.oid::regclass::text, h.recall, h.fresh_recall, h.dead from pgpipe.index_health h
      join pgpipe.embedding e using (embedding_id) join pg_catalog.pg_class c on c.oid = e.target
     where h.dead > %s or h.fresh_recall - h.recall > %s
"""
SUSPENDED = """
    select c.oid::regclass::text, e.filter_error from pgpipe.embedding e join pg_catalog.pg_class c on c.oid = e.target
     where e.filter_error is not null
"""
SEARCHES = """
    select c.oid::regclass::text, pgpipe_internal.find_language(s.language) is null,
           pgpipe_internal.search_doubt(s.target)
      from pgpipe.search s join pg_catalog.pg_class c on c.oid = s.target
     where pgpipe_internal.search_doubt(s.target) is not null order by 1
"""
MAY_SEE_FILLS = "select pg_catalog.has_table_privilege('pgpipe.search_fill', 'select')"
UNINDEXED = """
    select s.target::text, string_agg(missing.key, ', ' order by missing.method, missing.key)
      from pgpipe.search s
      join pg_catalog.pg_class c on c.oid = s.target
     cross join lateral pgpipe_internal.missing_search_indexes(s.target) missing
      join pg_catalog.pg_attribute a on a.attrelid = s.target and a.attname = missing.column_name
     where not exists (select from pgpipe.search_fill f where f.target = s.target) group by 1 order by 1
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
ORPHANS = """
    select e.target::text || case e.name when 'default' then '' else ' (' || e.name || ')' end, sample.*
      from pgpipe.embedding e cross join lateral pgpipe_internal.count_orphans(e, %s) sample
     where sample.orphans > 0 order by 1
"""


def _searches(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """What a search needs and lacks."""
    for table, without_language, doubt in conn.execute(SEARCHES).fetchall():
        what, _, todo = doubt.partition(": ")
        if without_language:
            yield failure("language", f"{table} {what}", todo)
        else:
            yield warning("search", f"{table} {what}", todo)
    if conn.execute(MAY_SEE_FILLS).fetchone() != (True,):
        return
    for table, keys in conn.execute(UNINDEXED).fetchall():
        todo = f"run `pgpipe fill-search --entity {table}`, which stops no writer"
        yield warning("search index", f"{table} lacks an index of {keys}: its searches take longer", todo)


def _coverage(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """Whether coverage is known: which rows have a vector of their present text. Each reason says what to do."""
    for embedding, doubt, hidden in conn.execute(COVERAGE).fetchall():
        for check, reason in (("coverage", doubt), ("row security", hidden)):
            if reason:
                what, _, todo = reason.partition(": ")
                yield warning(check, f"{embedding}: {what}", todo)


def _orphans(conn: Connection, _settings: Settings) -> Iterator[Finding]:
    """Vectors of rows that are gone, unless a job is there that will delete them."""
    for embedding, looked, orphans in conn.execute(ORPHANS, (SAMPLE,)).fetchall():
        yield warning(
            "orphans",
            f"{embedding}: of {looked:,} vectors {orphans:,} belong to no row, and no job will delete them",
            "run `pgpipe reconcile`",
        )


def _indexes(conn: Connection, settings: Settings) -> Iterator[Finding]:
    for entity, dims in conn.execute(WIDE).fetchall():
        todo = 'a model of at most 4000 dimensions can be indexed; so can any with precision = "bit"'
        yield warning("vector index", f"{entity} has vectors of {dims} dimensions: every search reads them all", todo)
    index = settings.embedding.index
    for entity, recall, fresh, dead in conn.execute(DECAYED, (index.max_dead, index.max_loss)).fetchall():
        what = f"that of {entity} finds {recall:.3f} of the nearest, {fresh:.3f} once built; {dead:.0%} of it is dead"
        yield warning("vector index", what, "it is built again by an embedder or a load of the owner of its store")
    for entity, reason in conn.execute(SUSPENDED).fetchall():
        todo = "run `pgpipe reconcile`, or pgpipe.enable_filters with columns that can be kept"
        yield warning("filter table", f"that of {entity} is out of service: {reason}", todo)


CHECKS = (_searches, _coverage, _orphans, _indexes)
