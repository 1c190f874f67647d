"""One soak: all parts at once for so long, then quiet, then the check."""

import tempfile
import time
from pathlib import Path

from pgpipe.db import Connection
from tests.chaos.soak.loads import Loader
from tests.chaos.soak.trouble import Crew, Trouble
from tests.chaos.soak.truth import check, watch
from tests.chaos.soak.world import WRITERS, World, world
from tests.chaos.soak.writers import Writer

PATIENCE = 300.0  # seconds for what is left: a sweep that met a locked row is tried again after a minute
OPEN = """
    select exists (select from pgpipe.job)
        or exists (select from pgpipe.embedding_status where coverage is distinct from 1 and rows > 0)
"""
TOTALS = {
    "jobs finished": "select coalesce(sum(jobs), 0) from pgpipe.finished",
    "jobs of stale workers dropped": "select coalesce(sum(stale), 0) from pgpipe.finished",
    "rows read by loads": "select coalesce(sum(read), 0) from pgpipe.load",
    "rows written by loads": "select coalesce(sum(inserted + updated + deleted), 0) from pgpipe.load",
}


def soak(seconds: float, seed: int) -> World:
    """Run it; the counts and the violations are in what it returns."""
    with tempfile.TemporaryDirectory(prefix="pgpipe-soak-") as name, world(seed, Path(name)) as scene:
        loader = Loader(scene)
        loader.first()
        crew = Crew(scene)
        try:
            writers = _disturb(scene, seconds, loader, crew)
            loader.last()
            with scene.connect() as conn:
                _settle(scene, conn, crew)
                check(scene, conn, writers)
                for what, query in TOTALS.items():
                    scene.count(what, (conn.execute(query.encode()).fetchone() or (0,))[0])
        finally:
            said = crew.stop()
        if "Traceback" in said:
            scene.violated(f"an embedder said: {said[said.index('Traceback') :][:2000]}")
    return scene


def _disturb(scene: World, seconds: float, loader: Loader, crew: Crew) -> list[Writer]:
    writers = [Writer(scene, number) for number in range(WRITERS)]
    parts = [scene.part(f"writer {writer.number}", writer.run) for writer in writers]
    parts.append(scene.part("loader", loader.run))
    parts.append(scene.part("trouble", Trouble(scene, crew).run))
    parts.append(scene.part("watcher", lambda: watch(scene)))
    time.sleep(seconds)
    scene.over.set()
    for part in parts:
        part.join()
    return writers


def _settle(scene: World, conn: Connection, crew: Crew) -> None:
    """Embedders alone bring everything right, without a reconcile; jobs that died with their workers are retried."""
    end = time.monotonic() + PATIENCE
    crew.drain()
    while conn.execute(OPEN).fetchone() == (True,) and time.monotonic() < end:
        scene.count("dead jobs retried", (conn.execute("select pgpipe.retry_jobs()").fetchone() or (0,))[0])
        time.sleep(1)
        crew.drain()
