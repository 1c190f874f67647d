"""The backends of sentence-transformers: torch, onnx, onnx-int8 and openvino."""

import re
from contextlib import nullcontext
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from pgpipe.embed.model.base import Vectors
from pgpipe.embed.model.export import exported, missing
from pgpipe.embed.model.files import readable
from pgpipe.embed.model.location import fetched
from pgpipe.errors import TooLarge
from pgpipe.settings.model import EmbeddingSettings

NEEDS = {"onnx": "optimum.onnxruntime", "onnx-int8": "optimum.onnxruntime", "openvino": "optimum.intel"}
BATCH = {"cpu": 32}  # texts that the model computes at once; more is slower on a processor, whose cache is small
ACCELERATED = 256
ROLES = {"query": ("query",), "document": ("document", "passage", "corpus")}  # names of a model's prompts
# What the runtimes say in errors of their own kinds when memory runs out.
SHORT = re.compile(r"out of memory|can't allocate memory|failed to allocate .*memory|bad.alloc", re.IGNORECASE)


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
            "query": _prompt(self._model.prompts, "query", settings.query_prompt),
            "document": _prompt(self._model.prompts, "document", settings.document_prompt),
        }
        tokenizer = self._model.tokenizer
        self._counter = _untruncated(tokenizer)
        prompt = len(self._counter.encode(self._prompts["document"] or "", add_special_tokens=False).ids)
        self.room = int(self._model.max_seq_length) - tokenizer.num_special_tokens_to_add() - prompt

    def count(self, texts: list[str]) -> list[int]:
        """Tokens of each text, as many as it has."""
        return [len(e.ids) for e in self._counter.encode_batch_fast(texts, add_special_tokens=False)]

    def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:
        """Ranges of the pieces: the whole text where it fits, else parts that end where paragraphs or sentences do."""
        room = min(size or self.room, self.room)
        if len(text) <= room:  # a token has at least one character
            return [(0, len(text))]
        chunks = self._splitter(room, overlap).chunk_indices(text)
        return [(start, start + len(piece)) for start, piece in chunks] or [(0, len(text))]

    @lru_cache(maxsize=16)  # noqa: B019 - a model lives as long as its process
    def _splitter(self, room: int, overlap: int) -> Any:  # noqa: ANN401 - of a library without types
        from semantic_text_splitter import TextSplitter

        return TextSplitter.from_huggingface_tokenizer(self._counter, room, overlap)

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
        try:
            vectors = getattr(self._model, f"encode_{role}")(
                texts,
                prompt=self._prompts[role],
                batch_size=self.batch_size,
                normalize_embeddings=True,
                show_progress_bar=False,
                convert_to_numpy=True,
            )
        except Exception as exc:  # each runtime raises a kind of its own
            if isinstance(exc, MemoryError) or SHORT.search(str(exc)):
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
    if find_spec("optimum") is None or find_spec(NEEDS[settings.backend]) is None:
        raise missing(settings.backend)
    if settings.backend == "openvino":
        return "openvino", exported(settings, ""), {"export": False, "file_name": "openvino_model.xml"}
    import onnxruntime

    wanted = "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"
    provider = wanted if wanted in onnxruntime.get_available_providers() else "CPUExecutionProvider"
    return "onnx", exported(settings, provider), {"export": False, "provider": provider, "file_name": "model.onnx"}


def _prompt(prompts: dict[str, str], role: str, wanted: str | None) -> str | None:
    if wanted is not None:
        return wanted
    return next((prompts[name] for name in ROLES[role] if prompts.get(name)), None)


def _untruncated(tokenizer: Any) -> Any:  # noqa: ANN401 - a class of the tokenizers library
    """A copy of the tokenizer that counts all tokens of a text, however long."""
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
