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
from pgpipe.embed.crew import Crew
from pgpipe.embed.halt import LAST, LEAVE, Halt
from pgpipe.embed.lane import Lane, Shared
from pgpipe.embed.link import Link, linked
from pgpipe.embed.model.base import Model, load_model
from pgpipe.embed.model.cache import Models
from pgpipe.embed.owed import Owed
from pgpipe.embed.queue import Embedding
from pgpipe.embed.step import step
from pgpipe.embed.sweep import Sweeper
from pgpipe.embed.totals import Hooks, Report, Totals
from pgpipe.embed.trouble import Daemon, Drain, Policy
from pgpipe.embed.turns import Lookout, Turns
from pgpipe.embed.words import Words
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
            Words(),
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
            Unreachable: the database went away.
            PgpipeError: an embedding cannot be served: a model cannot be loaded, fails on any text, may not run on this
                machine or has other weights; row level security hides rows; a table was changed or stays locked; a
                service did not answer several times over. All others were worked off before.
        """
        halt = Halt(self.stop)
        policy = Drain(targets, self._shared.backoff, halt)
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
            SchemaMissing, VectorsMissing: waiting would not help.
            ModelError: at the start, no model can be used, and waiting would not help.
        """
        halt = Halt(self.stop)
        policy = Daemon(self._shared.backoff, self._report, halt)
        self._run(halt, [partial(linked, self._shared.database, partial(self._load_all, policy, halt), policy.lost)])
        if self.stop.is_set():
            return self.totals
        ready()
        indexer = index.Indexer(self._shared.database, self._settings.index, self.stop, self._shared.name)
        indexer.start()
        self._work(policy, halt)
        self.left_behind |= not indexer.join(max(LAST - halt.lasted(), 0.0))
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
            self._run(halt, [self._give_back], leave=LAST)

    def _run(
        self,
        halt: Halt,
        works: Sequence[Callable[[], None]],
        watch: Callable[[float], None] = lambda _halted: None,
        leave: float = LEAVE,
    ) -> None:
        self.left_behind |= not Crew(halt, leave).run(works, watch)

    def _build_indexes(self, policy: Drain) -> None:
        if self.stop.is_set():
            return
        with self._shared.database.connect(autocommit=True) as conn:
            served = [e for e in queue.embeddings(conn) if policy.wants(e)]
        builder = index.Indexer(self._shared.database, self._settings.index, self.stop, self._shared.name)
        policy.refused |= builder.build(served)

    def _give_back(self) -> None:
        try:
            with self._shared.database.connect(autocommit=True) as conn:
                self._shared.owed.give_back(conn)
        except errors.PgpipeError as exc:
            log.debug("leases run out by themselves", error=str(exc))

    def _load_all(self, policy: Policy, halt: Halt, link: Link) -> None:
        """Load every model. One that cannot be used ends the worker only if none can."""
        models = self._shared.models
        with link.call("looking for embeddings") as conn:
            embeddings = queue.embeddings(conn)

        def note(embedding: Embedding, taken: bytes) -> bytes | None:
            with link.call("comparing models") as conn:
                return queue.fingerprint(conn, embedding, taken)

        unusable: list[errors.ModelError] = []
        for embedding in embeddings:
            halt.check()
            with models.held(halt.check):
                try:
                    with step(f"trying the model {embedding.model!r}"):
                        models.encoder(embedding)
                        with _answers_later(embedding):
                            models.identify(embedding, note)
                except errors.Unreachable:
                    raise
                except errors.PgpipeError as exc:
                    policy.met(embedding, exc)
                    unusable += [exc] if isinstance(exc, errors.ModelError) else []
        halt.check()
        if unusable and len(unusable) == len(embeddings):
            raise unusable[0]


@contextmanager
def _answers_later(embedding: Embedding) -> Iterator[None]:
    """A model that cannot answer at the start is waited for in the work itself."""
    try:
        yield
    except errors.ModelRefused:
        raise
    except (errors.EncodeError, errors.ModelError) as exc:
        log.debug("the model does not answer yet", entity=embedding.entity, error=str(exc))
