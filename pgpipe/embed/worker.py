"""The worker: two lanes over all embeddings in turn, until nothing is left to do or until it is stopped."""

import os
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from functools import partial

from pgpipe import errors
from pgpipe.db import Database
from pgpipe.embed import index, queue
from pgpipe.embed.backoff import Backoff
from pgpipe.embed.crew import LEAVE, Crew
from pgpipe.embed.halt import Halt
from pgpipe.embed.lane import Lane, Shared
from pgpipe.embed.link import Link, linked
from pgpipe.embed.model.base import Model, load_model
from pgpipe.embed.model.cache import Models
from pgpipe.embed.owed import Owed
from pgpipe.embed.queue import Embedding
from pgpipe.embed.sweep import Sweeper
from pgpipe.embed.totals import Hooks, Report, Totals
from pgpipe.embed.trouble import Daemon, Drain, Policy
from pgpipe.embed.turns import Lookout, Turns
from pgpipe.log import get_logger
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.target import Target

LANES = 2  # one encodes while the other one talks to the database
log = get_logger(__name__)


class Worker:
    """One worker. The model of an embedding is loaded at its first job, once for all embeddings."""

    def __init__(
        self,
        database: Database,
        settings: EmbeddingSettings,
        hooks: Hooks | None = None,
        load: Callable[[EmbeddingSettings], Model] = load_model,
    ) -> None:
        name = f"{socket.gethostname()}:{os.getpid()}"
        self._settings = settings
        self._report = Report(hooks or Hooks())
        self._shared = Shared(
            database,
            name,
            settings.batch,
            timedelta(seconds=settings.lease),
            Models(settings, load),
            Backoff(),
            Turns(),
            Owed(),
            Sweeper(settings.reconcile_every, name),
            self._report,
        )
        self.stop = threading.Event()
        self.left_behind = False  # a thread hangs in a model or a connection, and was not waited for

    @property
    def totals(self) -> Totals:
        """What it has done so far."""
        return self._report.totals

    def halt(self) -> None:
        """Stop soon, whatever hangs; also from the handler of a signal."""
        self.stop.set()
        self._shared.models.abort()

    def drain(self, targets: Sequence[Target] | None = None) -> Totals:
        """Work until nothing is left that can be claimed, then build missing vector indexes.

        Raises:
            VectorsMissing: the database has no pgvector.
            ModelError: a model cannot be loaded, or fails on any text.
            ModelRefused: this machine may not run a model, or vectors are of one with other weights; the other
                embeddings were worked off before.
            RowsHidden: row level security hides rows from this role; likewise.
            Transient: the model's backend could not answer, several times over.
            Unreachable: the database went away.
        """
        halt = Halt(self.stop)
        policy = Drain(targets, self._shared.backoff)
        self._work(policy, halt)
        self._run(halt, [partial(self._build_indexes, policy)])
        for refused in policy.refused.values():
            raise refused
        return self.totals

    def run(self, ready: Callable[[], None] = lambda: None) -> Totals:
        """Work until `stop` is set; an unreachable database is waited for, an embedding in trouble is in back-off.

        Args:
            ready: called once the database answered and every declared model is loaded.

        Raises:
            SchemaMissing, VectorsMissing, ModelError: at the start, where waiting would not help.
            ModelRefused: no embedding is there whose model this machine may run, and whose vectors are of it.
        """
        halt = Halt(self.stop)
        policy = Daemon(self._shared.backoff, self._report, halt)
        self._run(halt, [partial(linked, self._shared.database, partial(self._load_all, policy, halt), policy.lost)])
        if self.stop.is_set():
            return self.totals
        ready()
        indexer = index.Indexer(self._shared.database, self._settings.index, self.stop)
        indexer.start()
        self._work(policy, halt)
        self.left_behind |= not indexer.join(LEAVE)
        return self.totals

    def _work(self, policy: Policy, halt: Halt) -> None:
        """Let the lanes work, and give back what those held that had to be left behind."""
        lookout = Lookout(halt)
        lanes = [Lane(self._shared, policy, lookout, halt) for _ in range(LANES)]

        def watch(halted: float) -> None:
            for lane in lanes:
                lane.watch(halted)

        try:
            self._run(halt, [lane.run for lane in lanes], watch)
        finally:
            for lane in lanes:
                self._shared.owed.add(lane.held)
        if self.stop.is_set() and self._shared.owed:
            self._run(halt, [self._give_back])

    def _run(
        self, halt: Halt, works: Sequence[Callable[[], None]], watch: Callable[[float], None] = lambda _halted: None
    ) -> None:
        self.left_behind |= not Crew(halt).run(works, watch)

    def _build_indexes(self, policy: Policy) -> None:
        if self.stop.is_set():
            return
        with self._shared.database.connect(autocommit=True) as conn:
            served = [e for e in queue.embeddings(conn) if policy.wants(e)]
        for embedding in served:
            index.build(self._shared.database, embedding, self._settings.index, self.stop)

    def _give_back(self) -> None:
        try:
            with self._shared.database.connect(autocommit=True) as conn:
                self._shared.owed.give_back(conn)
        except errors.PgpipeError as exc:
            log.debug("leases run out by themselves", error=str(exc))

    def _load_all(self, policy: Policy, halt: Halt, link: Link) -> None:
        """Load every model; one that is refused ends the worker only if it has nothing else."""
        models = self._shared.models
        refused: list[errors.ModelRefused] = []
        with link.call() as conn:
            embeddings = queue.embeddings(conn)

        def note(embedding: Embedding, taken: bytes) -> bytes | None:
            with link.call() as conn:
                return queue.fingerprint(conn, embedding, taken)

        for embedding in embeddings:
            halt.check()
            with models.held(halt.check):
                try:
                    models.encoder(embedding)
                    with _answers_later(embedding):
                        models.identify(embedding, note)
                except errors.ModelRefused as exc:
                    refused.append(exc)
                    policy.met(embedding, exc)
        halt.check()
        if refused and len(refused) == len(embeddings):
            raise refused[0]


@contextmanager
def _answers_later(embedding: Embedding) -> Iterator[None]:
    """A model that cannot answer at the start is waited for in the work itself."""
    try:
        yield
    except errors.ModelRefused:
        raise
    except (errors.EncodeError, errors.ModelError) as exc:
        log.debug("the model does not answer yet", entity=embedding.entity, error=str(exc))
