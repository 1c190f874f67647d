"""pgpipe embedder."""

import signal
from typing import Any

import click

from pgpipe.cli.app import App, cli
from pgpipe.embed import notify
from pgpipe.embed.worker import Totals, Worker


@cli.command()
@click.option("--drain", is_flag=True, help="Stop when nothing is left to do.")
@click.option("--batch", type=click.IntRange(1, 10000), help="Rows claimed at once [default: 256]")
@click.option(
    "--backend",
    metavar="NAME",
    help="What runs the model: torch, onnx, onnx-int8, openvino, http, or one that a package brings [default: torch]",
)
@click.option("--model", help="Of embeddings declared from now on; declared ones keep theirs.")
@click.pass_obj
def embedder(app: App, /, **options: Any) -> None:  # noqa: ANN401 - all of them are settings
    """Compute the vectors of rows that lack them, until SIGTERM.

    Run any number, on any number of machines. Kill one at any moment: its rows come back after the lease, nothing is
    lost or doubled.
    """
    drain = options.pop("drain")
    app.set("embedding", **options)
    worker = Worker(app.database, app.settings.embedding)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.stop.set())
    totals = worker.drain() if drain else worker.run(ready=lambda: notify.tell("READY=1"))
    notify.tell("STOPPING=1")
    app.out.print(summary(totals))


def summary(totals: Totals) -> str:
    """One line: what the worker did."""
    embedded = sum(totals.embedded.values())
    parts = [f"{embedded:,} rows embedded", f"{totals.fresh:,} were fresh"]
    parts += [f"{totals.reused:,} had the text of another row"] if totals.reused else []
    parts += [f"{totals.stale:,} had passed to another worker"] if totals.stale else []
    parts += [f"{totals.failed:,} failed, see `pgpipe jobs list`"] if totals.failed else []
    return ", ".join(parts)
