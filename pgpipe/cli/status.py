"""pgpipe status."""

from collections.abc import Sequence
from typing import Any

import click
from psycopg.rows import dict_row

from pgpipe.cli.app import App, cli, json_option
from pgpipe.db import translated
from pgpipe.searching import asked
from pgpipe.target import labelled

LOADS = """
    select schema, entity, date, mode, state, started_at, read, inserted, updated, deleted, unchanged,
           left_out, error
      from pgpipe.load_status
"""
EMBEDDINGS = """
    select schema, entity, name, model, active, paused, rows, coverage, waiting, leased, dead, oldest_age, rate, eta,
           estimated, swept_at, reason, index_precision, round(index_recall::numeric, 3)::float8 as index_recall,
           round(index_dead::numeric, 3)::float8 as index_dead, index_measured_at
      from pgpipe.embedding_status order by entity, schema, active desc, name
"""
QUEUE = """
    select live_tuples, dead_tuples, last_autovacuum, bytes, oldest_snapshot, oldest_snapshot_since, oldest_snapshot_age
      from pgpipe.queue_status
"""
BUILDS = """
    select schema, entity, name, phase, round(percent::numeric, 1) as percent
      from pgpipe.index_progress order by entity, schema, name
"""
LOAD_SPEED = """
    select schema, entity, array_agg(rows_per_second order by started_at) as rates from (
        select t.*, row_number() over (partition by schema, entity order by started_at desc) as place
          from pgpipe.load_throughput t) l
     where place <= %s group by schema, entity order by entity, schema
"""
EMBEDDING_SPEED = """
    with finished as (
        select f.embedding_id, date_trunc('minute', f.finished_at) as minute, sum(f.jobs) as jobs from pgpipe.finished f
         where f.finished_at >= date_trunc('minute', now()) - make_interval(mins => %(span)s - 1) group by 1, 2
    )
    select n.nspname as schema, c.relname as entity, e.name,
           array_agg(coalesce(f.jobs, 0)::float8 order by m.minute) as rates
      from pgpipe.embedding e
      join pg_catalog.pg_class c on c.oid = e.target
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     cross join generate_series(date_trunc('minute', now()) - make_interval(mins => %(span)s - 1), now(), '1 minute')
           m (minute)
      left join finished f using (embedding_id, minute)
     where e.embedding_id in (select embedding_id from finished)
     group by n.nspname, c.relname, e.name order by c.relname, n.nspname, e.name
"""
DATES = """
    select schema, entity, behind, dates::text[] as dates, seen_at, date_trunc('second', age) as age
      from pgpipe.date_status where behind > 0 order by entity, schema
"""
# What keeps a declared search from finding all rows.
SEARCHES = """
    select schema, entity, reason from (
        select n.nspname as schema, c.relname as entity, concat_ws('; ', pgpipe_internal.search_doubt(s.target),
                         pgpipe_internal.soft_delete_lost(s.target)) as reason
          from pgpipe.search s
          join pg_catalog.pg_class c on c.oid = s.target
          join pg_catalog.pg_namespace n on n.oid = c.relnamespace) d
     where reason <> '' order by entity, schema
"""
SAID_BELOW = {"reason", "index_precision", "index_recall", "index_dead", "index_measured_at"}
POINTS = 30  # loads, and minutes of embedding, that a line of bars shows
BARS = "▁▂▃▄▅▆▇█"


@cli.command()
@json_option
@click.pass_obj
def status(app: App, as_json: bool) -> None:
    """Last load of each entity, the queue of each embedding, and how fast both are."""
    with app.reading.connect() as conn, translated(), conn.cursor(row_factory=dict_row) as cursor:
        loads = labelled(cursor.execute(LOADS).fetchall(), app.home)
        embeddings = labelled(cursor.execute(EMBEDDINGS).fetchall(), app.home)
        load_speed = labelled(cursor.execute(LOAD_SPEED, (POINTS,)).fetchall(), app.home)
        embedding_speed = labelled(cursor.execute(EMBEDDING_SPEED, {"span": POINTS}).fetchall(), app.home)
        searches = labelled(cursor.execute(SEARCHES).fetchall(), app.home)
        dates = labelled(cursor.execute(DATES).fetchall(), app.home)
        queue = cursor.execute(QUEUE).fetchall()
        unanswered = labelled(asked.unanswered(cursor, 10), app.home)
        builds = labelled(cursor.execute(BUILDS).fetchall(), app.home)
    for row in embeddings:
        row["allowed_here"] = app.settings.embedding.allows(row["model"])
    if as_json:
        speeds = {"load_rows_per_second": load_speed, "embedding_jobs_per_minute": embedding_speed}
        found = {"loads": loads, "dates": dates, "embeddings": embeddings, "searches": searches, "queue": queue[0]}
        app.print_json(found | {"index_builds": builds, "unanswered": unanswered, **speeds})
        return
    for title, rows in (("Last loads", loads), ("Embeddings", embeddings), ("Queue", queue if embeddings else [])):
        app.out.print(f"[bold]{title}[/]" if rows else f"[bold]{title}[/]: none")
        if rows:
            app.print_rows([{k: v for k, v in approximate(row).items() if k not in SAID_BELOW} for row in rows])
    _print_missing(app, dates)
    for row in searches:
        app.out.print(f"{row['entity']} {row['reason']}", markup=False, soft_wrap=True)
    for row in embeddings:
        if row["reason"]:
            app.out.print(f"{row['entity']} ({row['name']}): {row['reason']}", markup=False, soft_wrap=True)
        if not row["allowed_here"]:
            app.tell(
                f"{row['entity']}: the embedding {row['name']} is left alone by this machine, because its model"
                f" {row['model']!r} is not in embedding.models"
            )
    _print_indexes(app, embeddings)
    if builds:
        app.out.print("[bold]Vector indexes being built[/]")
        app.print_rows(builds)
    _print_unanswered(app, unanswered)
    _print_speeds(app, load_speed, embedding_speed)


def _print_unanswered(app: App, rows: list[dict[str, Any]]) -> None:
    if rows:
        app.out.print("[bold]Questions without an answer[/]")
        app.print_rows(rows)


def _print_indexes(app: App, embeddings: list[dict[str, Any]]) -> None:
    for row in embeddings:
        if row["index_measured_at"]:
            measured = (
                f"{row['entity']} ({row['name']}): the vector index ({row['index_precision']}) finds"
                f" {row['index_recall']:.3f} of the nearest, {row['index_dead']:.0%} of it is dead; measured"
                f" {row['index_measured_at']:%Y-%m-%d %H:%M}"
            )
            app.out.print(measured, markup=False, soft_wrap=True)


def _print_missing(app: App, dates: list[dict[str, Any]]) -> None:
    for row in dates:
        missing = f"{row['entity']}: {', '.join(row['dates'])} not loaded, as a load saw it {row['age']} ago"
        app.out.print(missing, markup=False, soft_wrap=True)


def approximate(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: an estimate is marked in place, not in a column."""
    if "estimated" not in row:
        return row
    shown = {name: value for name, value in row.items() if name not in {"estimated", "allowed_here"}}
    marked = {name: f"~{shown[name]:,}" for name in ("waiting", "jobs", "coverage") if shown.get(name) is not None}
    return shown | marked if row["estimated"] else shown


def _print_speeds(app: App, loads: list[dict[str, Any]], embeddings: list[dict[str, Any]]) -> None:
    """A line of bars each: the last loads, and the last minutes of embedding."""
    lines = [(row["entity"], "rows/s of the last loads", row["rates"]) for row in loads]
    lines += [(row["entity"], f"vectors/min, {row['name']}", row["rates"]) for row in embeddings]
    if lines:
        app.out.print("[bold]Throughput[/]")
        app.print_rows(
            [{"entity": e, "of": what, "last": round(rates[-1]), "": sparkline(rates)} for e, what, rates in lines]
        )


def sparkline(values: Sequence[float]) -> str:
    """Values as bars from 0 to their maximum, one character each."""
    top = max(values, default=0) or 1
    return "".join(BARS[min(int(value / top * len(BARS)), len(BARS) - 1)] for value in values)
