"""Embedder processes with a backend of the tests' own, and the one check that every test of the embedder ends with."""

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from pgpipe.db import Connection, Database

DIMS = 3
LONG = 300.0  # seconds until a test gives up waiting: what comes to be, comes sooner, also on a busy machine
BACKEND = """
import os, signal, time, numpy as np
from pgpipe.embed.model.identity import PROBES
from pgpipe.errors import TooLarge, Transient
from tests.chaos.embedders import vector

class Backend:
    name, dims = "chaos", 3
    def __init__(self, settings):
        pass
    def split(self, text, size=None, overlap=0):
        return [(start, min(start + 400, len(text))) for start in range(0, len(text), 400)]
    def encode(self, texts):
        if texts != PROBES:
            time.sleep(float(os.environ.get("CHAOS_SLOW", "0")))
        if os.path.exists(os.environ.get("CHAOS_DOWN", "/nonexistent/")):
            raise Transient("the service is down", retry_after=0.3)
        if len(texts) > int(os.environ.get("CHAOS_ROOM", "100000")):
            raise TooLarge("too many texts")
        poison = os.environ.get("CHAOS_POISON")
        if poison and any(poison in text for text in texts):
            raise ValueError("poison")
        return np.array([vector(text) for text in texts], np.float32)
"""
STORED = """
    select id, chunk, model, encode(content_hash, 'hex'), char_start, char_end, vector::real[]
      from doc_embedding order by id, chunk
"""
TEXTS = """
    select id, nullif(btrim(concat_ws(chr(10), nullif(title, ''), nullif(body, '')), E' \\t\\n\\r'), '') from doc
"""


def vector(text: str) -> np.ndarray:
    """The vector of a text, of unit length: another text has another."""
    raw = np.frombuffer(hashlib.sha256(text.encode()).digest()[:DIMS], np.uint8) + 1.0
    return raw / np.linalg.norm(raw)


def install(folder: Path) -> None:
    """Make the backend a package with an entry point, as a user's would be."""
    (folder / "chaos_backend.py").write_text(BACKEND, encoding="utf-8")
    info = folder / "chaos_backend-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: chaos-backend\nVersion: 1\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[pgpipe.embedders]\nchaos = chaos_backend:Backend\n", encoding="utf-8")


class Embedders:
    """Starts `pgpipe embedder` processes and ends what is left of them."""

    def __init__(self, folder: Path, url: str) -> None:
        self.url, self._folder = url, folder
        self._running: list[subprocess.Popen[str]] = []
        install(folder)

    def start(
        self,
        *options: str,
        url: str | None = None,
        lease: float = 2,
        to: IO[str] | None = None,
        quiet: bool = True,
        **chaos: Any,
    ) -> subprocess.Popen[str]:
        """One more process, whose words go `to` a file; `chaos` are faults of its backend: slow, room, poison, down."""
        root = Path(__file__).parents[2]
        environment = os.environ | {
            "DATABASE_URL": url or self.url,
            "PYTHONPATH": f"{self._folder}{os.pathsep}{root}",
            "PGPIPE_EMBEDDING__LEASE": str(lease),
            "PGPIPE_EMBEDDING__MODELS": '["*"]',
            **{f"CHAOS_{name.upper()}": str(value) for name, value in chaos.items()},
        }
        command = [
            sys.executable,
            "-m",
            "pgpipe",
            *(["-q"] if quiet else []),
            "embedder",
            "--backend",
            "chaos",
            *options,
        ]
        process = subprocess.Popen(
            command,
            cwd=self._folder,
            env=environment,
            text=True,
            stdout=to or subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._running.append(process)
        return process

    def drain(self, **chaos: Any) -> str:
        """Run one to the end of the queue; returns what it said."""
        process = self.start("--drain", "--batch", "64", **chaos)
        said, _ = process.communicate(timeout=LONG)
        assert process.returncode == 0, said
        return said

    def stop(self) -> None:
        """End them, politely where that works."""
        for process in self._running:
            if process.poll() is None:
                process.terminate()
                process.send_signal(signal.SIGCONT)  # one that is stopped hears nothing
        for process in self._running:
            try:
                process.communicate(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()


def until(condition: Callable[[], bool], seconds: float = LONG) -> None:
    """Wait for a condition, looking every so often."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.05)


def count(conn: Connection, statement: str) -> int:
    """The one number of a query."""
    row = conn.execute(statement.encode()).fetchone()
    assert row is not None
    return int(row[0])


def settled(conn: Connection) -> bool:
    """Whether no job is left that anybody will ever claim."""
    return count(conn, "select count(*) from pgpipe.job where dead_at is null") == 0


def keep_busy(conn: Connection) -> None:
    """See to it that there is work for whoever comes late."""
    if count(conn, "select count(*) from pgpipe.job") < count(conn, "select count(*) / 2 from doc"):
        conn.execute("update doc set title = title || '.'")


def populate(database: Database, rows: int) -> None:
    """A target of that many different texts, all of them waiting."""
    with database.connect() as conn:
        conn.execute("create table doc (id int primary key, title text, body text)")
        conn.execute(
            "insert into doc select n, 'title ' || n, repeat('body ' || n || ' ', 1 + n %% 20) from"
            " generate_series(1, %s) n",
            (rows,),
        )
        conn.execute("select pgpipe.enable_embedding('doc', '{title,body}', 'chaos', 3)")


def faults(texts: Mapping[Any, str | None], stored: Iterable[tuple[Any, ...]]) -> list[str]:
    """What is wrong with the vectors of rows with these texts.

    Every row with a text must have the vectors of that text and of the declared model, piece by piece, and no other.

    Args:
        texts: by key; None for a row that must have no vector.
        stored: key, chunk, model, hash, start, end and vector, in the order of key and chunk.
    """
    found: list[str] = []
    covered: dict[Any, int] = {}
    for key, chunk, model, hash_, start, end, stored_vector in stored:
        content = texts.get(key)
        if content is None:
            found.append(f"{key} has a vector, but no text")
        elif hash_ != hashlib.sha256(content.encode()).hexdigest():
            found.append(f"{key} has a vector of another text than {content[:80]!r}")
        elif model != "chaos" or not np.allclose(stored_vector, vector(content[start:end]), atol=1e-5):
            found.append(f"{key} has a vector that is not its own")
        elif start != covered.get(key, 0):
            found.append(f"{key} lacks a piece before {chunk}")
        covered[key] = end
    lacking = {key: content for key, content in texts.items() if content and covered.get(key) != len(content)}
    return found + [f"{key} lacks a vector of {content[:80]!r}" for key, content in lacking.items()]


def check(conn: Connection, dead: int = 0) -> None:
    """What must hold in the end, whatever happened: no job is left but those that are dead, and no vector is wrong."""
    assert count(conn, "select count(*) from pgpipe.job where dead_at is null") == 0
    assert count(conn, "select count(*) from pgpipe.job") == dead
    failed = {row[0] for row in conn.execute("select (key ->> 'id')::int from pgpipe.job").fetchall()}
    texts = {key: content for key, content in conn.execute(TEXTS).fetchall() if key not in failed}
    assert faults(texts, [row for row in conn.execute(STORED).fetchall() if row[0] not in failed]) == []
