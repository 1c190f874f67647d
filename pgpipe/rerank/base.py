"""What a reranker is, and how one is found by the name of its backend."""

from collections.abc import Sequence
from typing import Protocol

from pgpipe.embed.model.plugin import backend, first_line
from pgpipe.errors import ModelError, PgpipeError
from pgpipe.settings.backend import RerankSettings

OURS = {"torch": ("pgpipe.rerank.cross", "CrossModel"), "http": ("pgpipe.rerank.http", "HttpReranker")}


class Reranker(Protocol):
    """What says how well texts answer a question.

    A backend may also have `batch`, the texts that it takes at once (else few at first, then as many as there is time
    for), and `concurrent`, true where several threads may ask at once.
    """

    name: str

    def scores(self, query: str, texts: list[str], seconds: float) -> Sequence[float]:
        """One score for each text, higher is better. It cuts off what it does not read of a text.

        Args:
            query: the question.
            texts: of the answers.
            seconds: after which nobody waits for the scores.
        """
        ...


def load_reranker(settings: RerankSettings) -> Reranker:
    """Load the model with the backend of the settings.

    Raises:
        ModelError: it is nowhere to be found, does not load, or lacks a package; the message says which.
    """
    load = backend(settings.backend, OURS, settings.PLUGINS)
    try:
        return load(settings)  # type: ignore[no-any-return] # what a package promises by the entry point
    except PgpipeError:
        raise
    except Exception as exc:  # the libraries below raise many kinds, each with its own text
        raise ModelError(f"the reranker {settings.model!r} cannot be loaded: {first_line(exc)}") from exc
