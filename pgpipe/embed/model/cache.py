"""The models of one worker: each loaded once for all embeddings, and seen to be the one that made a store's vectors."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pgpipe import errors
from pgpipe.embed.batch import Encoder
from pgpipe.embed.halt import END
from pgpipe.embed.model import identity
from pgpipe.embed.model.base import Model, fit
from pgpipe.embed.queue import Embedding
from pgpipe.mask import said
from pgpipe.settings.model import EmbeddingSettings

LOOK = 0.25  # seconds between two calls of what a lane does while it waits for the models


class Models:
    """Models by name, and encoders by what the stores need of them; who uses one holds all: there is one device."""

    def __init__(self, settings: EmbeddingSettings, load: Callable[[EmbeddingSettings], Model]) -> None:
        self._settings = settings
        self._load = load
        self._lock = threading.Lock()
        self._models: dict[str, Model] = {}
        self._encoders: dict[tuple[str, int, bool], Encoder] = {}  # by model and dimensions
        self._identified: set[int] = set()  # embeddings whose vectors are of the model at hand

    @contextmanager
    def held(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Hold the models. While another lane does, `waiting` is called again and again; what it raises ends that."""
        while not self._lock.acquire(timeout=LOOK):
            waiting()
        try:
            yield
        finally:
            self._lock.release()

    def encoder(self, embedding: Embedding) -> Encoder:
        """The embedding's model, as its store needs it; for the lane that holds them.

        Raises:
            ModelRefused: this machine may not run it.
            ModelError: it cannot be loaded, or its dimensions are not the store's.
            Transient: the service that makes the vectors does not answer.
        """
        key = (embedding.model, embedding.dims, embedding.half)
        if key not in self._encoders:
            if embedding.model not in self._models:
                self._models[embedding.model] = self._loaded(embedding.model)
            loaded, store = self._models[embedding.model], embedding.target.qualified
            model = fit(loaded, embedding.dims, store, self._settings.truncate_dim)
            self._encoders[key] = Encoder(model, half=embedding.half)
        return self._encoders[key]

    def _loaded(self, name: str) -> Model:
        try:
            return self._load(self._settings.for_model(name))
        except errors.Unreachable as exc:  # which elsewhere means the database
            raise errors.Transient(str(exc)) from exc
        except (errors.PgpipeError, *END):
            raise
        except BaseException as exc:
            raise errors.ModelError(f"the model {name!r} cannot be loaded: {said(exc)}") from exc

    def abort(self) -> None:
        """Let nobody wait for a model any more; from any thread, and from a signal's handler."""
        for model in list(self._models.values()):
            if abort := getattr(model, "abort", None):
                abort()

    def identify(self, embedding: Embedding, note: Callable[[Embedding, bytes], bytes | None]) -> None:
        """See, once for each embedding, that its model is the one that made the vectors in its store.

        Args:
            embedding: whose model; for the lane that holds it.
            note: keeps the model's fingerprint with the embedding if there is none yet; returns the one that is kept.

        Raises:
            OtherModel: it is not.
            Transient, ModelError: it does not answer.
        """
        if embedding.embedding_id in self._identified:
            return
        taken = identity.take(self.encoder(embedding).model)
        if taken is None:  # it does not take the texts: nothing to compare
            return
        if stored := note(embedding, taken):
            identity.require_same(stored, taken, embedding.model, embedding.target.qualified, embedding.name)
        self._identified.add(embedding.embedding_id)
