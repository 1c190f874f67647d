"""pgpipe embedder."""

import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import click

from pgpipe import errors
from pgpipe.cli.app import App, cli
from pgpipe.db import translated
from pgpipe.embed.daemon import systemd
from pgpipe.embed.daemon.metrics import Exporter
from pgpipe.embed.totals import Hooks, Totals
from pgpipe.embed.worker import Worker
from pgpipe.target import Target

WAITING = """
    select coalesce(sum(jobs.waiting + jobs.leased), 0)::bigint from pgpipe.embedding_jobs jobs
      join pgpipe.embedding e using (embedding_id) where e.paused_at is null
"""


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
    Ctrl-C ends it with 130 and says how many rows wait.
    """
    drain = options.pop("drain")
    app.set("embedding", **options)
    interrupted = threading.Event()
    try:
        worker = _run(app, interrupted, drain=drain)
    except errors.PgpipeError as exc:
        if not drain and exc.exit_code == errors.UsageError.exit_code:
            exc.exit_code = os.EX_CONFIG
        raise
    app.out.print(summary(worker.totals))
    if interrupted.is_set():
        app.tell(f"interrupted; {_left(app)}; what was embedded stays")
    if worker.stop.is_set():
        _end(130 if interrupted.is_set() else 0, hangs=worker.left_behind)


def _left(app: App) -> str:
    """How many rows wait; soon, because the process is to end."""
    try:
        with app.database.connect(keep_timeouts=True) as conn, translated():
            conn.execute("select set_config('statement_timeout', '500ms', true)")
            (rows,) = conn.execute(WAITING).fetchone() or (0,)
    except errors.PgpipeError:
        return "the database does not say how many rows wait"
    return f"{rows:,} rows wait" if rows else "no row waits"


def _end(code: int, *, hangs: bool) -> None:
    """End at once. Python's own end waits for what hangs, and frees all that it holds: seconds on a busy machine."""
    if not hangs:
        atexit._run_exitfuncs()  # noqa: SLF001 - the embedded server's is among them
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _run(app: App, interrupted: threading.Event, *, drain: bool) -> Worker:
    settings = app.settings.embedding
    exporter = Exporter(app.database, settings)
    watchdog, starting = systemd.Watchdog(), systemd.Starting()

    def beat() -> None:
        watchdog.beat()
        exporter.beat()

    shown = list[Callable[[int], None]]()  # the bar, once it is open

    def advance(_target: Target, jobs: int) -> None:
        for bar in shown:
            bar(jobs)

    worker = Worker(app.database, settings, Hooks(advance, beat, exporter.timed), exporter.load)

    def ready() -> None:
        starting.end()
        exporter.ready()
        systemd.tell("READY=1")

    exporter.watch(worker.totals)
    _heed_signals(worker, interrupted)
    if settings.metrics_port is not None:
        exporter.start()
        app.err.print(f"metrics on {exporter.url}", soft_wrap=True)
    try:
        if drain:
            with app.bar("embed", _owed(app)) as bar:
                shown.append(bar)
                worker.drain()
        else:
            starting.begin()
            worker.run(ready)
    finally:
        starting.end()
        exporter.stop()
    return worker


def _heed_signals(worker: Worker, interrupted: threading.Event) -> None:
    def stop(number: int, _frame: object) -> None:
        if number == signal.SIGINT:
            interrupted.set()
        systemd.tell("STOPPING=1")
        worker.halt()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)


def _owed(app: App) -> int:
    if app.quiet or not app.err.is_terminal:
        return 0
    with app.database.connect() as conn, translated():
        return int((conn.execute(WAITING).fetchone() or (0,))[0])


def summary(totals: Totals) -> str:
    """One line: what the worker did."""
    embedded = sum(totals.embedded.values())
    copied = f", of which {totals.copied:,} copied from rows of the same text" if totals.copied else ""
    parts = [f"{embedded:,} rows embedded{copied}", f"{totals.fresh:,} were fresh"]
    parts += [f"{totals.stale:,} had passed to another worker"] if totals.stale else []
    parts += [f"{totals.failed:,} failed, see `pgpipe jobs list`"] if totals.failed else []
    return ", ".join(parts)
