"""pgpipe migrate and jobs."""

from pathlib import Path
from typing import LiteralString

import click
from psycopg.rows import dict_row

from pgpipe import schema
from pgpipe.cli.app import App, cli, json_option
from pgpipe.db import translated
from pgpipe.target import find, labelled

JOBS = """
    select n.nspname as schema, c.relname as entity, e.name as embedding, j.key, j.attempts, j.dead_at, j.last_error
      from pgpipe.job j
      join pgpipe.embedding e using (embedding_id)
      join pg_catalog.pg_class c on c.oid = e.target
      join pg_catalog.pg_namespace n on n.oid = c.relnamespace
     where j.last_error is not null order by j.dead_at desc nulls last, j.embedding_id, j.key limit %s
"""
RETRY = """
    select coalesce(sum(pgpipe.retry_jobs(e.embedding_id, %s::jsonb[])), 0)
      from pgpipe.embedding e where e.target = coalesce(%s::oid, e.target)
"""
DROP = """
    select coalesce(sum(pgpipe.drop_jobs(e.embedding_id, %s::jsonb[])), 0)
      from pgpipe.embedding e where e.target = coalesce(%s::oid, e.target)
"""
entity_option = click.option("--entity", metavar="NAME", help="Only of this one, as NAME or SCHEMA.NAME.")
key_option = click.option(
    "--key", "keys", multiple=True, help="Only this row, as listed, such as '{\"id\": 7}'; repeatable."
)


@cli.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="migrations",
    show_default=True,
    help="Your own migrations, applied after pgpipe's.",
)
@click.pass_obj
def migrate(app: App, folder: Path) -> None:
    """Bring the database to this version of pgpipe. Twice is a no-op."""
    own = folder if folder.is_dir() and folder.resolve() != (schema.ROOT / "migrations").resolve() else None
    done = schema.migrate(app.database, own)
    for name in done.migrations + done.files:
        click.echo(f"applied {name}")
    if not done.migrations and not done.files:
        click.echo("The schema is up to date.")
    if "vector" in done.missing:
        click.echo(
            "pgvector is not installed in this database: keyword search works, vectors wait for"
            " `create extension vector` and another `pgpipe migrate`.",
            err=True,
        )


@cli.group()
def jobs() -> None:
    """Jobs that failed."""


@jobs.command("list")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1), help="At most so many.")
@json_option
@click.pass_obj
def list_jobs(app: App, limit: int, as_json: bool) -> None:
    """List failed jobs with their errors. Dead jobs, which are not retried, come first."""
    with app.database.connect() as conn, translated(), conn.cursor(row_factory=dict_row) as cursor:
        rows = labelled(cursor.execute(JOBS, (limit,)).fetchall(), app.home)
    if as_json:
        app.print_json(rows)
    elif rows:
        app.print_rows(rows)
    else:
        click.echo("No job has failed.")


@jobs.command("retry")
@entity_option
@key_option
@click.pass_obj
def retry_jobs(app: App, entity: str | None, keys: tuple[str, ...]) -> None:
    """Put dead jobs back into the queue."""
    click.echo(f"{_judge(app, RETRY, entity, keys)} jobs wait again.")


@jobs.command("drop")
@entity_option
@key_option
@click.confirmation_option(prompt="Their rows stay without fresh vectors until they change. Drop?")
@click.pass_obj
def drop_jobs(app: App, entity: str | None, keys: tuple[str, ...]) -> None:
    """Delete dead jobs."""
    click.echo(f"{_judge(app, DROP, entity, keys)} jobs dropped.")


def _judge(app: App, statement: LiteralString, entity: str | None, keys: tuple[str, ...]) -> int:
    with app.database.connect() as conn, translated():
        target = find(conn, entity, app.home).oid if entity else None
        row = conn.execute(statement, (list(keys) or None, target)).fetchone()
    return int(row[0]) if row else 0
