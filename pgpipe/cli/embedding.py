"""pgpipe embedding and reconcile."""

from collections.abc import Iterator
from contextlib import contextmanager

import click
from psycopg.rows import dict_row

from pgpipe.cli.app import App, cli, json_option
from pgpipe.cli.status import approximate
from pgpipe.db import Connection, Patience, briefly, translated
from pgpipe.embed import adopt as adopting
from pgpipe.embed import declare, queue
from pgpipe.embed import reconcile as reconciling
from pgpipe.embed.model.base import dimensions, load_model
from pgpipe.embed.model.cache import Models
from pgpipe.embed.model.prompts import lacking
from pgpipe.errors import UsageError
from pgpipe.settings.entity import EmbedDeclaration
from pgpipe.settings.sources import load_settings
from pgpipe.target import Target, find, labelled, only

LIST = """
    select schema, entity, name, model, dims, active, paused, rows, waiting + leased + dead as jobs, coverage, estimated
      from pgpipe.embedding_status order by entity, schema, active desc, name
"""
DRIFT = "select * from pgpipe.embedding_drift(%s::oid::regclass, %s)"
name_option = click.option("--name", default="default", show_default=True, help="Of the embedding.")


@cli.group()
def embedding() -> None:
    """Embeddings of an entity: a second model next to the first, pause, drift."""


@contextmanager
def _target(app: App, entity: str) -> Iterator[tuple[Connection, Target]]:
    with app.database.connect(autocommit=True) as conn, translated():
        yield conn, find(conn, entity, app.home)


@embedding.command("list")
@json_option
@click.pass_obj
def list_embeddings(app: App, as_json: bool) -> None:
    """Embeddings, the active one of each entity first."""
    with app.database.connect() as conn, translated(), conn.cursor(row_factory=dict_row) as cursor:
        rows = labelled(cursor.execute(LIST).fetchall(), app.home)
    if as_json:
        app.print_json(rows)
    elif rows:
        app.print_rows([approximate(row) for row in rows])
    else:
        click.echo("No embedding is declared.")


@embedding.command()
@click.argument("entity")
@click.option("--name", required=True, help="Of the new embedding.")
@click.option("--model", help="[default: that of the settings]")
@click.option("--column", "columns", multiple=True, help="To embed, repeatable [default: as the active embedding]")
@click.option("--template", help="Lines with {column} [default: as the active embedding]")
@click.option("--where", help="SQL condition on the row's columns [default: as the active embedding]")
@click.pass_obj
def add(
    app: App,
    entity: str,
    name: str,
    model: str | None,
    columns: tuple[str, ...],
    template: str | None,
    where: str | None,
) -> None:
    """Declare one more embedding and enqueue the rows for it.

    `pgpipe embedder` fills it while searches go on with the active one; both are kept fresh. Then `switch`.
    """
    app.set("embedding", model=model)
    settings = app.settings.embedding
    with _target(app, entity) as (conn, target):
        active = declare.find(conn, target)
        if active is None and not columns:
            raise UsageError(f"{entity} has no embedding to take the columns from: name them with --column")
        wanted = active.as_declaration() if active and not columns else EmbedDeclaration(columns=list(columns))
        given = {name: value for name, value in (("template", template), ("where", where)) if value is not None}
        wanted = wanted.model_copy(update=given)
        patience, dims = Patience(app.settings.load.lock_wait, app.tell), dimensions(settings)
        briefly(
            conn,
            target.held,
            patience,
            lambda: declare.enable(conn, target, wanted, settings.model, dims, name, enqueue=False),
        )
        new = next(e for e in queue.embeddings(conn, paused=True) if (e.target, e.name) == (target, name))
        with app.bar(f"{entity}: enqueue", reconciling.rows(conn, new)) as advance:
            found = reconciling.reconcile(conn, new, advance)
    click.echo(f"{entity} has the embedding {name}: {found.enqueued:,} rows wait for `pgpipe embedder`.")
    if missing := lacking(settings):
        app.tell(
            f"the model {settings.model!r} is made for prompts and has none; before `pgpipe embedder` set {missing}"
        )
    if not load_settings(app.file).embedding.allows(settings.model):
        app.tell(f"add {settings.model!r} to embedding.models on every machine that embeds or searches {entity}")


@embedding.command()
@click.argument("entity")
@click.option(
    "--vector", required=True, metavar="COLUMN", help="With the vectors: vector, halfvec or an array of floats."
)
@click.option("--from", "table", metavar="TABLE", help="With that column [default: the table of the entity]")
@click.option(
    "--key", multiple=True, metavar="COLUMN", help="Of that table, for each of the key [default: named alike]"
)
@name_option
@click.option("--check", default=20, show_default=True, type=click.IntRange(0), help="Rows to embed and compare first.")
@click.pass_obj
def adopt(app: App, entity: str, vector: str, table: str | None, key: tuple[str, ...], name: str, check: int) -> None:
    """Take over vectors that exist already, from a column or from another tool's table.

    Declare the embedding first, with the model that made them. Rows that wait get the vector that is there for their
    key, and count as embedded from their present text. Rows without one wait for `pgpipe embedder`. First a random
    sample is embedded and compared: vectors of another model or of other texts are refused.
    """
    with _target(app, entity) as (conn, target):
        conn.execute(declare.REQUIRE, (target.oid, name))
        each = next(e for e in queue.embeddings(conn, paused=True) if (e.target, e.name) == (target, name))
        columns = list(key) or adopting.key_columns(conn, each)
        source = adopting.Source(adopting.relation(conn, table) if table else target.oid, vector, columns)
        if check:
            models = Models(app.settings.embedding, load_model)
            worst = adopting.check(conn, each, source, models.encoder(each), check)
            app.tell(f"the lowest cosine of the sample is {worst:.4f}")
        with app.bar(f"{entity}: adopt", adopting.waiting(conn, each)) as advance:
            found = adopting.adopt(conn, each, source, advance)
    left = found.examined - found.adopted
    click.echo(f"{entity}: {found.adopted:,} vectors adopted, {left:,} rows wait for `pgpipe embedder`.")


@embedding.command()
@click.argument("entity")
@click.argument("name")
@click.option("--force", is_flag=True, help="Although rows still wait for their vectors.")
@click.pass_obj
def switch(app: App, entity: str, name: str, force: bool) -> None:
    """Let search use this embedding, in one transaction; the one before stays and is kept fresh."""
    with _target(app, entity) as (conn, target):
        conn.execute(declare.SWITCH, (target.oid, name, force))
    click.echo(f"{entity} is searched with the embedding {name}.")


@embedding.command()
@click.argument("entity")
@click.argument("name")
@click.option("--force", is_flag=True, help="Also the active one: search by meaning ends.")
@click.confirmation_option(prompt="Its vectors are deleted. Drop?")
@click.pass_obj
def drop(app: App, entity: str, name: str, force: bool) -> None:
    """Drop an embedding, its vectors and its jobs."""
    with _target(app, entity) as (conn, target):
        conn.execute(declare.REQUIRE, (target.oid, name))
        active = declare.find(conn, target)
        if active and active.name == name and not force:
            raise UsageError(f"search of {entity} uses the embedding {name}: switch to another first, or --force")
        conn.execute(declare.DISABLE, (target.oid, name))
    click.echo(f"{entity} has no embedding {name} any more.")


@embedding.command()
@click.argument("entity")
@name_option
@click.pass_obj
def pause(app: App, entity: str, name: str) -> None:
    """Claim no more jobs; changes are still enqueued."""
    with _target(app, entity) as (conn, target):
        conn.execute(declare.PAUSE, (target.oid, name))
    click.echo(f"The embedding {name} of {entity} is paused.")


@embedding.command()
@click.argument("entity")
@name_option
@click.pass_obj
def resume(app: App, entity: str, name: str) -> None:
    """Go on with a paused embedding."""
    with _target(app, entity) as (conn, target):
        conn.execute(declare.RESUME, (target.oid, name))
    click.echo(f"The embedding {name} of {entity} goes on.")


@embedding.command()
@click.argument("entity")
@click.option("--sample", default=1000, show_default=True, type=click.IntRange(1), help="Rows to look at.")
@json_option
@click.pass_obj
def drift(app: App, entity: str, sample: int, as_json: bool) -> None:
    """How far the vectors are from what is declared, over a sample: shares of the rows."""
    with _target(app, entity) as (conn, target), conn.cursor(row_factory=dict_row) as cursor:
        rows = cursor.execute(DRIFT, (target.oid, sample)).fetchall()
    if as_json:
        app.print_json(rows)
    else:
        app.print_rows([{k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()} for row in rows])


@cli.command()
@click.option(
    "--entity",
    "entities",
    multiple=True,
    metavar="NAME",
    help="Only this one, as NAME or SCHEMA.NAME; may be repeated.",
)
@click.option("--restart", is_flag=True, help="Begin with the first row, even if an interrupted one would go on.")
@json_option
@click.pass_obj
def reconcile(app: App, entities: tuple[str, ...], restart: bool, as_json: bool) -> None:
    """Enqueue rows whose vectors are not of what they hold now, and vectors whose row is gone.

    For changes that no trigger saw: after a restore, on a promoted replica, with triggers switched off.
    """
    report = []
    with app.database.connect(autocommit=True) as conn, translated():
        wanted = queue.embeddings(conn, paused=True)
        if entities:
            tables = list(dict.fromkeys(e.target for e in wanted))
            named = {only(name, tables, app.home, f"no embedding of {name}; there are {{}}") for name in entities}
            wanted = [e for e in wanted if e.target in named]
        if restart:
            reconciling.restart(conn, wanted)
        for each in wanted:
            name = each.target.label(app.home)
            with app.bar(f"{name}: reconcile", reconciling.rows(conn, each)) as advance:
                found = reconciling.reconcile(conn, each, advance)
            counts = {"examined": found.examined, "enqueued": found.enqueued}
            report.append({"entity": name, "name": each.name} | counts)
    if as_json:
        app.print_json(report)
    elif report:
        app.print_rows(report)
    else:
        click.echo("No embedding is declared.")
