"""pgpipe demo."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic

import click

from pgpipe.cli.app import App, cli
from pgpipe.extras import needed

BUCKET, PREFIX = "drops", "python-docs"
EMBED = {"module": ["name", "summary", "doc"]}  # long texts, in several chunks; of the others the summary is enough
QUESTIONS = (
    ("text", "function", "compress file gzip"),
    ("vector", "function", "make a string safe to use in a shell command"),
    ("hybrid", "module", "how do I compress a file"),
)
CONFIG = """\
# What `pgpipe demo` runs with. A real one differs in the first two tables only.
[source]
endpoint_url = "{endpoint}"
addressing_style = "path"

[database]
embedded_dir = "{data}"

{entities}"""
ENTITY = """\
[entity.{name}]
key = ["name"]
mode = "snapshot"
search = {{ columns = {{ name = "A", summary = "A", doc = "B" }}, language = "english" }}
embed = {{ columns = {embed} }}

"""


@cli.command()
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=".demo",
    show_default=True,
    help="For the lake and the database.",
)
@click.option("--rows", default=2500, show_default=True, type=click.IntRange(1), help="Of an entity, at most.")
@click.pass_obj
def demo(app: App, folder: Path, rows: int) -> None:
    """Show everything on the docstrings of Python's standard library; needs neither a database nor S3.

    Builds a lake, serves it over the S3 protocol on loopback, starts the embedded PostgreSQL, and then runs the
    commands that a user would type.
    """
    with needed("demo", "the demo"):
        import moto.server  # noqa: F401 - what serves the lake

        from pgpipe.demo import lake, store
    began = monotonic()
    shutil.rmtree(folder / "lake", ignore_errors=True)
    changes = lake.build(folder / "lake", limit=rows)
    data = (folder / "postgresql").resolve()
    with store.serve() as endpoint:
        count = store.upload(endpoint, folder / "lake", BUCKET, PREFIX)
        app.out.print(
            f"A lake of {count} files under s3://{BUCKET}/{PREFIX}, dates {lake.OLDER} and {lake.NEWER}, "
            f"{sum(c.rows for c in changes.values()):,} rows in the newer."
        )
        entities = "".join(
            ENTITY.format(name=name, embed=json.dumps(EMBED.get(name, ["name", "summary"]))) for name in lake.ENTITIES
        )
        config = folder / "pgpipe.toml"
        config.write_text(CONFIG.format(endpoint=endpoint, data=data, entities=entities), encoding="utf-8")
        environment = os.environ | store.ENVIRONMENT
        pgpipe = [sys.executable, "-m", "pgpipe", "--config", str(config)]
        _show(app, pgpipe, environment, "migrate")
        _show(app, pgpipe, environment, "run", "--source", f"s3://{BUCKET}/{PREFIX}")
        for mode, entity, question in QUESTIONS:
            _show(app, pgpipe, environment, "search", question, "--entity", entity, "--mode", mode, "-k", "3")
    app.out.print(
        f"\nDone in {monotonic() - began:.0f} s. Ask more:"
        f" pgpipe --config {config} search 'parse dates' --entity function"
    )


def _show(app: App, pgpipe: list[str], environment: dict[str, str], *arguments: str) -> None:
    """Print a command as a user would type it, and run it."""
    typed = " ".join(f'"{a}"' if " " in a else a for a in arguments)
    app.out.print(f"\n[bold green]$ pgpipe {typed}[/]")
    done = subprocess.run([*pgpipe, *arguments], env=environment, check=False)  # noqa: S603 - our own command
    if done.returncode:
        raise click.ClickException(f"`pgpipe {typed}` ended with exit code {done.returncode}")
