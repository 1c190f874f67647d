"""Rerankers of this process: each is loaded once, and none makes a search fail."""

import os
import time
from typing import TYPE_CHECKING

from pgpipe import errors
from pgpipe.api.vectors import Loader
from pgpipe.mask import said
from pgpipe.searching.steps import Rerank, Scored
from pgpipe.settings.backend import RerankSettings

if TYPE_CHECKING:
    from pgpipe.rerank.within import Scorer

RETRY = 60.0  # seconds after which a reranker that did not load is tried again


def load(settings: RerankSettings) -> "Scorer":
    """The reranker with its threads."""
    from pgpipe.rerank.base import load_reranker
    from pgpipe.rerank.within import Scorer

    return Scorer(load_reranker(settings))


class Reranking:
    """Answers steps of searches; how and where models run is of the settings."""

    def __init__(self, settings: RerankSettings, *, wait: bool = True) -> None:
        """Nothing is loaded yet.

        Args:
            settings: of this machine.
            wait: whether a search waits for a model that is being loaded.
        """
        self._settings = settings
        self._wait = wait

    def __call__(self, step: Rerank) -> Scored:
        """The scores, as many as the budget allows; loading is not part of it. What fails is said in one line."""
        wanted = self._settings.for_model(step.by.model)
        until, fault = _failed.get(wanted, (0.0, ""))
        if time.monotonic() < until:
            return Scored([], fault)
        try:
            return rerankers(wanted, wait=self._wait)(step.query, step.texts, step.by.seconds)
        except errors.PgpipeError as exc:
            if isinstance(exc, errors.ModelError):
                _failed[wanted] = (time.monotonic() + RETRY, said(exc))
            return Scored([], said(exc))

    def load(self, model: str | None) -> None:
        """Load a model, for searches to come.

        Raises:
            ModelError: it cannot be loaded.
        """
        rerankers(self._settings.for_model(model))


rerankers: "Loader[RerankSettings, Scorer]" = Loader(load)  # of this process
_failed: dict[RerankSettings, tuple[float, str]] = {}
os.register_at_fork(after_in_child=lambda: rerankers.reset())  # noqa: PLW0108 - a test may put another in its place
