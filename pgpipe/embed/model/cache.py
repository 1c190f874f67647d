"""The models of one worker: each loaded once for all embeddings, and seen to be the one that made a store's vectors."""

from collections.abc import Callable

from pgpipe.embed import queue
from pgpipe.embed.batch import Encoder
from pgpipe.embed.model import identity
from pgpipe.embed.model.base import Model, fit
from pgpipe.embed.queue import Embedding
from pgpipe.embed.session import Session
from pgpipe.settings.model import EmbeddingSettings


class Stopped(BaseException):
    """The worker was told to stop while a model was loaded, or between two calls of one.

    Like KeyboardInterrupt it is not an Exception: libraries that load models catch those.
    """


class Models:
    """Models by name, and encoders by what the stores need of them."""

    def __init__(self, settings: EmbeddingSettings, load: Callable[[EmbeddingSettings], Model]) -> None:
        self._settings = settings
        self._load = load
        self._models: dict[str, Model] = {}
        self._encoders: dict[tuple[str, int], Encoder] = {}  # by model and dimensions
        self._loading = False
        self._identified: set[int] = set()  # embeddings whose vectors are of the model at hand

    def encoder(self, embedding: Embedding) -> Encoder:
        """The embedding's model, as its store needs it.

        Raises:
            ModelRefused: this machine may not run it.
            ModelError: it cannot be loaded, or its dimensions are not the store's.
            Unreachable: the service that makes the vectors does not answer.
        """
        key = (embedding.model, embedding.dims)
        if key not in self._encoders:
            if embedding.model not in self._models:
                self._loading = True
                try:
                    self._models[embedding.model] = self._load(self._settings.for_model(embedding.model))
                finally:
                    self._loading = False
            model = fit(
                self._models[embedding.model], embedding.dims, embedding.target.qualified, self._settings.truncate_dim
            )
            self._encoders[key] = Encoder(model)
        return self._encoders[key]

    def abort(self) -> None:
        """Let nobody wait for a model any more; to be called by the thread that uses them, from a signal's handler.

        Raises:
            Stopped: into the midst of loading one.
        """
        for model in self._models.values():
            if abort := getattr(model, "abort", None):
                abort()
        if self._loading:
            raise Stopped

    def identify(self, session: Session, embedding: Embedding) -> None:
        """See, once for each embedding, that its model is the one that made the vectors in its store.

        Raises:
            OtherModel: it is not.
            Transient, ModelError: it does not answer.
        """
        if embedding.embedding_id in self._identified:
            return
        taken = identity.take(self.encoder(embedding).model)
        if taken is None:  # it does not take the texts: nothing to compare
            return
        stored = session.result(session.submit(queue.fingerprint, session.conn, embedding, taken))
        if stored:
            identity.require_same(stored, taken, embedding.model, embedding.target.qualified, embedding.name)
        self._identified.add(embedding.embedding_id)
