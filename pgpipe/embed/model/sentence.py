"""The backends of sentence-transformers: torch, onnx, onnx-int8 and openvino."""

import os
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from pgpipe.embed.model.base import Vectors, is_short
from pgpipe.embed.model.export import exported, require_packages
from pgpipe.embed.model.files import readable
from pgpipe.embed.model.layout import prompt
from pgpipe.embed.model.location import fetched
from pgpipe.embed.model.tokens import Tokens
from pgpipe.errors import TooLarge
from pgpipe.settings.model import EmbeddingSettings

BATCH = {"cpu": 32}  # texts that the model computes at once; more is slower on a processor, whose cache is small
ACCELERATED = 256


class SentenceModel:
    """A sentence-transformers model."""

    def __init__(self, settings: EmbeddingSettings) -> None:
        """Load the model.

        Raises:
            ModelRefused: the repository needs more than data.
            ModelError: a package of the backend is missing, or the exported model cannot be kept.
            Exception: of the libraries, in many kinds.
        """
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.util import get_device_name
        from transformers.utils import logging

        logging.disable_progress_bar()
        mind_forks()
        device = settings.device or get_device_name()
        form, export, options = _source(settings, device)
        self.name = settings.model
        with nullcontext(export) if export else readable(settings, fetched(settings)) as folder:
            self._model: Any = SentenceTransformer(
                str(folder),
                device=device,
                backend=form,
                cache_folder=str(settings.cache_dir) if settings.cache_dir else None,
                local_files_only=not settings.trusted,  # its code may be in another repository
                trust_remote_code=settings.trusted,
                model_kwargs=options,
            )
        self._model.eval()
        self.device = device
        self.dims = int(self._model.get_embedding_dimension())
        self.batch_size = BATCH.get(device, ACCELERATED)
        self._prompts = {
            "query": prompt(self._model.prompts, "query", settings.query_prompt),
            "document": prompt(self._model.prompts, "document", settings.document_prompt),
        }
        limit, before = int(self._model.max_seq_length), self._prompts["document"] or ""
        tokens = Tokens(self._model.tokenizer.backend_tokenizer, limit, before)
        self.count, self.split, self.room = tokens.count, tokens.split, tokens.room
        self._turn = threading.Lock()  # its tokenizer is of one thread at a time

    def encode(self, texts: list[str]) -> Vectors:
        """Vectors of documents, in the order of the texts; the library sorts by length within the call.

        Raises:
            TooLarge: the texts at once need more memory than there is.
        """
        return self._encode(texts, "document")

    def encode_query(self, texts: list[str]) -> Vectors:
        """The same for questions."""
        return self._encode(texts, "query")

    def _encode(self, texts: list[str], role: str) -> Vectors:
        mind_forks()
        try:
            with self._turn:
                vectors = getattr(self._model, f"encode_{role}")(
                    texts,
                    prompt=self._prompts[role],
                    batch_size=self.batch_size,
                    normalize_embeddings=True,
                    show_progress_bar=False,
                    convert_to_numpy=True,
                )
        except Exception as exc:  # each runtime raises a kind of its own
            if is_short(exc):
                self._give_back_memory()
                raise TooLarge(f"{len(texts)} texts need more memory than there is") from exc
            raise
        return np.asarray(vectors, dtype=np.float32)

    def _give_back_memory(self) -> None:
        if self.device.startswith("cuda"):
            import torch

            torch.cuda.empty_cache()


def _source(settings: EmbeddingSettings, device: str) -> tuple[Any, Path | None, dict[str, Any]]:
    """The library's name of the backend, the exported model's folder (None: the weights), and its options."""
    if settings.backend == "torch":
        return "torch", None, {}
    require_packages(settings.backend)
    if settings.backend == "openvino":
        return "openvino", exported(settings, ""), {"export": False, "file_name": "openvino_model.xml"}
    import onnxruntime

    wanted = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
    provider = wanted if wanted in onnxruntime.get_available_providers() else "CPUExecutionProvider"
    return "onnx", exported(settings, provider), {"export": False, "provider": provider, "file_name": "model.onnx"}


def mind_forks() -> None:
    """Let torch compute in one thread if its threads were started before a fork: it would wait for them for ever."""
    global _threads_of  # noqa: PLW0603 - torch's threads are one for the process
    if _threads_of not in {None, os.getpid()}:
        import torch

        torch.set_num_threads(1)
    _threads_of = _threads_of or os.getpid()


_threads_of: int | None = None  # the process that let torch start threads
