"""The worker: claim, encode, finish, over all embeddings in turn. No transaction is open while the model runs."""

import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from pgvector.psycopg.vector import register_vector_info
from psycopg import sql
from psycopg.types import TypeInfo

from pgpipe import errors
from pgpipe.config import EmbeddingSettings
from pgpipe.db import Connection, Database, translated
from pgpipe.embed import index, queue
from pgpipe.embed.model import Model, Vectors, load_model
from pgpipe.embed.queue import Chunk, Embedding, Job

POLL = 2.0  # seconds between looks at an empty queue, give or take half
RETRY = 30.0  # at most, between tries to reach the database
SLICE = 256  # texts that the model gets at once; between two slices the lease is extended and a stop is heeded
EXTEND = 60.0  # seconds of work after which the lease is extended
log = structlog.get_logger()

Progress = Callable[[str, int], None]  # entity, jobs finished since the last call


@dataclass(frozen=True)
class Failure:
    """Why a text has no vector; `charge` says that the text is at fault, not the machine."""

    reason: str
    charge: bool


class _Stopped(Exception):
    """The worker was told to stop between two slices of a batch."""


@dataclass
class Totals:
    """What a worker did, in jobs."""

    embedded: dict[str, int] = field(default_factory=dict)  # by entity: vectors computed and stored
    fresh: int = 0  # the stored vectors were of this text already
    stale: int = 0  # had passed to another worker, nothing written
    failed: int = 0


class Worker:
    """One worker with one connection. The model of an embedding is loaded at its first job."""

    def __init__(
        self,
        database: Database,
        settings: EmbeddingSettings,
        progress: Progress = lambda _e, _n: None,
        load: Callable[[EmbeddingSettings], Model] = load_model,
    ) -> None:
        self._database = database
        self._settings = settings
        self.progress = progress
        self._load = load
        self._models: dict[str, Model] = {}
        self._name = f"{socket.gethostname()}:{os.getpid()}"
        self.stop = threading.Event()
        self.totals = Totals()

    def drain(self, entities: Sequence[str] | None = None) -> Totals:
        """Work until nothing is left that can be claimed, then build missing vector indexes.

        Raises:
            VectorsMissing: the database has no pgvector.
            ModelError: a model cannot be loaded.
            Unreachable: the database went away.
        """
        with self._connect() as conn:
            wanted = [e for e in queue.embeddings(conn) if entities is None or e.entity in entities]
            while not self.stop.is_set() and sum(self._batch(conn, e) for e in wanted):
                pass
            for embedding in wanted:
                index.build(conn, embedding)
        return self.totals

    def run(self, ready: Callable[[], None] = lambda: None) -> Totals:
        """Work until `stop` is set; an unreachable database is waited for.

        Args:
            ready: called once the database answered and every declared model is loaded.

        Raises:
            SchemaMissing, VectorsMissing, ModelError: waiting would not help.
        """
        pause = 1.0
        told = False
        while not self.stop.is_set():
            try:
                with self._connect() as conn:
                    for embedding in [] if told else queue.embeddings(conn):
                        self._model(embedding)
                    if not told:
                        ready()
                        told = True
                    pause = 1.0
                    self._serve(conn)
            except errors.Unreachable as exc:
                log.warning("database lost", error=str(exc), retry_in=pause)
                self.stop.wait(pause * random.uniform(0.5, 1))  # noqa: S311 - spread, not secret
                pause = min(pause * 2, RETRY)
        return self.totals

    def _serve(self, conn: Connection) -> None:
        while not self.stop.is_set():
            known = queue.embeddings(conn)
            if not sum(self._batch(conn, e) for e in known):
                for embedding in known:
                    index.build(conn, embedding)
                self.stop.wait(POLL * random.uniform(0.5, 1.5))  # noqa: S311 - spread, not secret

    def _connect(self) -> Connection:
        conn = self._database.connect(autocommit=True)
        try:
            register_vector_info(conn, _vector_type(conn))
        except BaseException:
            conn.close()
            raise
        return conn

    def _batch(self, conn: Connection, embedding: Embedding) -> bool:
        """Take one batch of an embedding from claim to finish; False when nothing is ready."""
        if self.stop.is_set():
            return False
        token = uuid.uuid4()
        jobs = queue.claim(conn, embedding, self._settings.batch, self._name, token)
        if not jobs:
            return False
        try:
            self._work(conn, embedding, token, jobs)
        except _Stopped:
            queue.release(conn, token)
            return False
        except BaseException:
            with translated():
                if not conn.closed:
                    queue.release(conn, token)
            raise
        return True

    def _work(self, conn: Connection, embedding: Embedding, token: uuid.UUID, jobs: list[Job]) -> None:
        todo = [n for n, job in enumerate(jobs) if job.content is not None and not job.fresh]
        chunks: list[Chunk] = []
        texts: list[str] = []
        bad: dict[int, Failure] = {}
        for n in todo:
            content = jobs[n].content or ""
            pieces, failure = split(self._model(embedding), content)
            if failure:
                bad[n] = failure
            for number, (start, end) in enumerate(pieces):
                chunks.append(Chunk(n, number, start, end))
                texts.append(content[start:end])
        vectors, broken = self._encode(conn, embedding, token, texts)
        bad |= {chunks[c].job: failure for c, failure in broken.items()}
        for n, failure in bad.items():
            queue.fail(conn, embedding, token, [jobs[n]], failure.reason, charge=failure.charge)
            log.warning("job failed", entity=embedding.entity, key=jobs[n].key, error=failure.reason)
        good = [n for n in range(len(jobs)) if n not in bad]
        place = {n: i for i, n in enumerate(good)}
        kept = [c for c in range(len(chunks)) if chunks[c].job in place]
        _, stale = queue.finish(
            conn,
            embedding,
            token,
            [jobs[n] for n in good],
            [Chunk(place[chunks[c].job], chunks[c].number, chunks[c].start, chunks[c].end) for c in kept],
            vectors[kept],
        )
        if stale:
            queue.release(conn, token)  # those that a writer had locked are ours still
        self._count(embedding, jobs, todo, bad, stale)

    def _count(
        self, embedding: Embedding, jobs: list[Job], todo: list[int], bad: dict[int, Failure], stale: int
    ) -> None:
        totals = self.totals
        totals.embedded[embedding.entity] = totals.embedded.get(embedding.entity, 0) + max(
            len(todo) - len(bad) - stale, 0
        )
        totals.fresh += sum(job.fresh for job in jobs)
        totals.stale += stale
        totals.failed += len(bad)
        self.progress(embedding.entity, len(jobs))

    def _encode(
        self, conn: Connection, embedding: Embedding, token: uuid.UUID, texts: list[str]
    ) -> tuple[Vectors, dict[int, Failure]]:
        """Vectors of the texts, and the reason for each text that has none."""
        parts = [np.empty((0, embedding.dims), np.float32)]
        broken: dict[int, Failure] = {}
        since = time.monotonic()
        for start in range(0, len(texts), SLICE):
            if start and self.stop.is_set():
                raise _Stopped
            if time.monotonic() - since > EXTEND:
                queue.extend(conn, token)
                since = time.monotonic()
            vectors, bad = encode_bisecting(self._model(embedding), texts[start : start + SLICE])
            parts.append(vectors)
            broken |= {start + n: failure for n, failure in bad.items()}
        if texts and len(broken) == len(texts):
            probe(self._model(embedding), broken[0])
        return np.concatenate(parts), broken

    def _model(self, embedding: Embedding) -> Model:
        if embedding.model not in self._models:
            model = self._load(self._settings.model_copy(update={"model": embedding.model}))
            if model.dims != embedding.dims:
                raise errors.ModelError(
                    f"the model {embedding.model!r} makes {model.dims} dimensions,"
                    f" but the store of {embedding.entity} has {embedding.dims}"
                )
            self._models[embedding.model] = model
        return self._models[embedding.model]


def _vector_type(conn: Connection) -> TypeInfo | None:
    """The type, looked up by its full name: the extension may lie in a schema that is not on the search_path."""
    with translated():
        row = conn.execute("select pgpipe.vector_schema()").fetchone()
        if row is None or row[0] is None:
            raise errors.VectorsMissing(
                "vectors need the extension pgvector, which this database lacks: install it"
                " (Debian: postgresql-NN-pgvector), run `create extension vector`, then `pgpipe migrate`"
            )
        return TypeInfo.fetch(conn, sql.Identifier(row[0], "vector"))


def encode_bisecting(model: Model, texts: list[str]) -> tuple[Vectors, dict[int, Failure]]:
    """Encode; where the model fails, halve until the texts that it cannot take stand alone.

    Returns:
        Vectors, shape (len(texts), model.dims), and why each text that failed did (its vector means nothing).
    """
    try:
        vectors = np.asarray(model.encode(texts), np.float32)
    except Exception as exc:  # noqa: BLE001 - a model may raise anything; the text that made it is found below
        if len(texts) == 1:
            return np.zeros((1, model.dims), np.float32), {0: _failure(exc)}
        half = len(texts) // 2
        left, bad_left = encode_bisecting(model, texts[:half])
        right, bad_right = encode_bisecting(model, texts[half:])
        return np.concatenate([left, right]), bad_left | {half + n: failure for n, failure in bad_right.items()}
    if vectors.shape != (len(texts), model.dims):
        raise errors.ModelError(
            f"the model {model.name!r} made vectors of shape {vectors.shape} for {len(texts)} texts,"
            f" not of {model.dims} dimensions"
        )
    failure = Failure("the model made a vector that is not finite", charge=True)
    broken = {n: failure for n, vector in enumerate(vectors) if not np.isfinite(vector).all()}
    return vectors, broken


def _failure(exc: Exception) -> Failure:
    short_of_memory = isinstance(exc, MemoryError) or type(exc).__name__ == "OutOfMemoryError"
    return Failure(f"{type(exc).__name__}: {exc}"[:500], charge=not short_of_memory)


def split(model: Model, text: str) -> tuple[list[tuple[int, int]], Failure | None]:
    """The ranges of a text's pieces, or why the model cannot split it."""
    try:
        return model.split(text), None
    except Exception as exc:  # noqa: BLE001 - as in encode_bisecting
        return [], _failure(exc)


def probe(model: Model, failure: Failure) -> None:
    """Tell bad texts from a bad machine, where every text of a batch failed: try one that any model takes.

    Raises:
        ModelError: that fails too; no text is to blame.
    """
    _, broken = encode_bisecting(model, ["a word"])
    if broken:
        raise errors.ModelError(f"the model {model.name!r} fails on any text: {failure.reason}")
