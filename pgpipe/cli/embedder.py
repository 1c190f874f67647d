"""pgpipe embedder."""

import atexit
import os
import signal
import sys
from typing import Any

import click

from pgpipe import errors
from pgpipe.cli.app import App, cli
from pgpipe.embed.daemon import systemd
from pgpipe.embed.daemon.metrics import Exporter
from pgpipe.embed.totals import Hooks, Totals
from pgpipe.embed.worker import Worker


@cli.command()
@click.option("--drain", is_flag=True, help="Stop when nothing is left to do.")
@click.option("--batch", type=click.IntRange(1, 10000), help="Rows claimed at once [default: 512]")
@click.option(
    "--backend",
    metavar="NAME",
    help="What runs the model: torch, onnx, onnx-int8, openvino, http, or one that a package brings [default: torch]",
)
@click.option("--model", help="Of embeddings declared from now on; declared ones keep theirs.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve /metrics, /healthz and /readyz on the loopback; 0 takes any free port.",
)
@click.pass_obj
def embedder(app: App, /, **options: Any) -> None:  # noqa: ANN401 - all of them are settings
    """Compute the vectors of rows that lack them, until SIGTERM.

    Run any number, on any number of machines. Kill one at any moment: its rows come back after the lease, nothing is
    lost or doubled. Exit code 78, not 2, says that trying again would not help: `pgpipe systemd` makes use of it.
    """
    drain = options.pop("drain")
    app.set("embedding", **options)
    try:
        worker = _run(app, drain=drain)
    except errors.PgpipeError as exc:
        if not drain and exc.exit_code == errors.UsageError.exit_code:
            exc.exit_code = os.EX_CONFIG
        raise
    app.out.print(summary(worker.totals))
    if worker.stop.is_set():
        _end(hangs=worker.left_behind)


def _end(*, hangs: bool) -> None:
    """End at once. Python's own end waits for what hangs, and frees all that it holds: seconds on a busy machine."""
    if not hangs:
        atexit._run_exitfuncs()  # noqa: SLF001 - the embedded server's is among them
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _run(app: App, *, drain: bool) -> Worker:
    settings = app.settings.embedding
    exporter = Exporter(app.database, settings)
    watchdog, starting = systemd.Watchdog(), systemd.Starting()

    def beat() -> None:
        watchdog.beat()
        exporter.beat()

    worker = Worker(app.database, settings, Hooks(beat=beat, timed=exporter.timed), exporter.load)

    def ready() -> None:
        starting.end()
        exporter.ready()
        systemd.tell("READY=1")

    def stop(*_: object) -> None:
        systemd.tell("STOPPING=1")
        worker.halt()

    exporter.watch(worker.totals)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    if settings.metrics_port is not None:
        exporter.start()
        app.err.print(f"metrics on {exporter.url}", soft_wrap=True)
    try:
        if drain:
            worker.drain()
        else:
            starting.begin()
            worker.run(ready)
    finally:
        starting.end()
        exporter.stop()
    return worker


def summary(totals: Totals) -> str:
    """One line: what the worker did."""
    embedded = sum(totals.embedded.values())
    parts = [f"{embedded:,} rows embedded", f"{totals.fresh:,} were fresh"]
    parts += [f"{totals.reused:,} had the text of another row"] if totals.reused else []
    parts += [f"{totals.stale:,} had passed to another worker"] if totals.stale else []
    parts += [f"{totals.failed:,} failed, see `pgpipe jobs list`"] if totals.failed else []
    return ", ".join(parts)
