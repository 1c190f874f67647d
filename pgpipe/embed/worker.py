"""The worker: claim, encode, finish, over all embeddings in turn. No transaction is open while the model runs."""

import os
import random
import socket
import threading
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import structlog
from pgvector.psycopg import register_vector

from pgpipe import errors
from pgpipe.config import EmbeddingSettings
from pgpipe.db import Connection, Database, translated
from pgpipe.embed import index, queue
from pgpipe.embed.model import Model, Vectors, load_model
from pgpipe.embed.queue import Chunk, Embedding, Job

POLL = 2.0  # seconds between looks at an empty queue, give or take half
RETRY = 30.0  # at most, between tries to reach the database
log = structlog.get_logger()

Progress = Callable[[str, int], None]  # entity, jobs finished since the last call


@dataclass(frozen=True)
class Failure:
    """Why a text has no vector; `charge` says that the text is at fault, not the machine."""

    reason: str
    charge: bool


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
            register_vector(conn)
        except Exception as exc:
            conn.close()
            raise errors.VectorsMissing(
                "vectors need the extension pgvector, which this database lacks: install it"
                " (Debian: postgresql-NN-pgvector), run `create extension vector`, then `pgpipe migrate`"
            ) from exc
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
        if todo:
            model = self._model(embedding)
            for n in todo:
                content = jobs[n].content or ""
                for number, (start, end) in enumerate(model.split(content)):
                    chunks.append(Chunk(n, number, start, end))
                    texts.append(content[start:end])
        vectors, broken = self._encode(embedding, texts)
        bad = {chunks[c].job: failure for c, failure in broken.items()}
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

    def _encode(self, embedding: Embedding, texts: list[str]) -> tuple[Vectors, dict[int, Failure]]:
        """Vectors of the texts, and the reason for each text that has none."""
        if not texts:
            return np.empty((0, embedding.dims), np.float32), {}
        return encode_bisecting(self._model(embedding), texts)

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


def encode_bisecting(model: Model, texts: list[str]) -> tuple[Vectors, dict[int, Failure]]:
    """Encode; where the model fails, halve until the texts that it cannot take stand alone.

    Returns:
        Vectors, shape (len(texts), model.dims), and why each text that failed did (its vector is zero).
    """
    try:
        return model.encode(texts), {}
    except Exception as exc:  # noqa: BLE001 - a model may raise anything; the text that made it is found below
        if len(texts) == 1:
            short_of_memory = isinstance(exc, MemoryError) or type(exc).__name__ == "OutOfMemoryError"
            failure = Failure(f"{type(exc).__name__}: {exc}"[:500], charge=not short_of_memory)
            return np.zeros((1, model.dims), np.float32), {0: failure}
        half = len(texts) // 2
        left, bad_left = encode_bisecting(model, texts[:half])
        right, bad_right = encode_bisecting(model, texts[half:])
        return np.concatenate([left, right]), bad_left | {half + n: failure for n, failure in bad_right.items()}
