"""The backend torch: a cross-encoder of sentence-transformers."""

from collections.abc import Sequence
from typing import Any

from pgpipe.embed.model.files import readable
from pgpipe.embed.model.location import fetched
from pgpipe.embed.model.sentence import mind_forks
from pgpipe.errors import ModelError
from pgpipe.settings.backend import RerankSettings


class CrossModel:
    """A cross-encoder, which reads a question and a text together."""

    def __init__(self, settings: RerankSettings) -> None:
        """Load the model.

        Raises:
            ModelRefused: the repository needs more than data.
            ModelError: it makes several scores of a pair, so it does not rank.
            Exception: of the libraries, in many kinds.
        """
        from sentence_transformers import CrossEncoder
        from transformers.utils import logging

        logging.disable_progress_bar()
        mind_forks()
        self.name = settings.model
        with readable(settings, fetched(settings, whole="config.json")) as folder:
            self._model: Any = CrossEncoder(
                str(folder),
                device=settings.device,
                cache_folder=str(settings.cache_dir) if settings.cache_dir else None,
                local_files_only=not settings.trusted,  # its code may be in another repository
                trust_remote_code=settings.trusted,
            )
        if self._model.num_labels != 1:
            raise ModelError(
                f"the model {settings.model!r} makes {self._model.num_labels} scores of a pair; a reranker makes one"
            )
        self._model.eval()

    def scores(self, query: str, texts: list[str], _seconds: float) -> Sequence[float]:
        """As `Reranker.scores`; the tokenizer cuts a pair to the length that the model reads."""
        mind_forks()
        made = self._model.predict([(query, text) for text in texts], show_progress_bar=False, convert_to_numpy=True)
        return [float(score) for score in made]
