"""What a backend is, how one is found by its name, and how its vectors are fitted to a store."""

import re
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from pgpipe.embed.model.files import require_data
from pgpipe.embed.model.location import configured_dims, locate
from pgpipe.embed.model.plugin import backend, first_line
from pgpipe.errors import ModelError, PgpipeError
from pgpipe.settings.model import EmbeddingSettings

Vectors = npt.NDArray[np.float32]

EXPORTED = dict.fromkeys(("onnx", "onnx-int8", "openvino"), ("pgpipe.embed.model.runtime", "load_exported"))
LOCAL = {"torch": ("pgpipe.embed.model.sentence", "SentenceModel"), **EXPORTED}  # these run files of a model
OURS = {"http": ("pgpipe.embed.model.http", "HttpModel"), **LOCAL}
# What the runtimes say in errors of their own kinds when memory runs out.
SHORT = re.compile(r"out of memory|can't allocate memory|failed to allocate .*memory|bad.alloc", re.IGNORECASE)


class Model(Protocol):
    """What turns texts into vectors.

    A backend may also have `count(texts) -> list[int]`, the tokens of each text (else they are guessed from its
    length), `encode_query(texts)`, where a question is read otherwise than a document, `abort()`, which makes a call
    that waits for something raise Transient at once, because the embedder is to stop, and `concurrent`, true where
    several threads may encode at once.
    """

    name: str
    dims: int

    def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:
        """Character ranges of the pieces that are embedded each by itself, at least one.

        Args:
            text: of any length.
            size: tokens of a piece, at most what the model reads; as many as that where left out.
            overlap: tokens that two neighbours may share.
        """
        ...

    def encode(self, texts: list[str]) -> Vectors:
        """One vector of unit length for each text: shape (len(texts), dims).

        Raises:
            Transient, Permanent, TooLarge: see pgpipe.errors.
        """
        ...


def load_model(settings: EmbeddingSettings) -> Model:
    """Load the model with the backend of the settings.

    Raises:
        ModelError: it is nowhere to be found, does not load, or lacks a package; the message says which.
        Unreachable: the service that makes the vectors does not answer.
    """
    load = backend(settings.backend, OURS, settings.PLUGINS)
    try:
        return load(settings)  # type: ignore[no-any-return] # what a package promises by the entry point
    except PgpipeError:
        raise
    except Exception as exc:  # the libraries below raise many kinds, each with its own text
        location = locate(settings)
        where = location.path if location.local else "a local folder, the hub's cache, an installed wheel or the hub"
        raise ModelError(f"the model {settings.model!r} cannot be loaded from {where}: {first_line(exc)}") from exc


def is_short(exc: BaseException) -> bool:
    """Whether an error of any library says that memory ran out."""
    return isinstance(exc, MemoryError) or bool(SHORT.search(str(exc)))


def dimensions(settings: EmbeddingSettings) -> int:
    """Dimensions of the vectors of a new store: the model's, or fewer where `truncate_dim` says so.

    Read from the model's configuration where that is on this machine.

    Raises:
        ModelRefused: its repository needs more than data.
        ModelError: the model cannot be loaded, or has fewer dimensions than `truncate_dim`.
    """
    location = locate(settings) if settings.backend in LOCAL else None
    if location and location.local:
        require_data(settings, Path(location.path))
    dims = configured_dims(Path(location.path)) if location and location.local else None
    dims = dims or load_model(settings).dims
    wanted = settings.truncate_dim or dims
    if wanted > dims:
        raise ModelError(f"embedding.truncate_dim is {wanted}, but {settings.model!r} makes {dims} dimensions")
    return wanted


def fit(model: Model, dims: int, store: str, truncate_dim: int | None = None) -> Model:
    """The model as the store needs it: as it is, or cut to `truncate_dim` dimensions.

    Args:
        model: as loaded.
        dims: of the store.
        store: whose, for the message.
        truncate_dim: to which the user allows to cut; every cut is asked for, because only a Matryoshka model bears it.

    Raises:
        ModelError: the dimensions differ.
    """
    if model.dims == dims:
        return model
    if dims == truncate_dim and dims < model.dims:
        return Truncated(model, dims)
    hint = f"; set embedding.truncate_dim = {dims} if it is a Matryoshka model" if dims < model.dims else ""
    raise ModelError(
        f"the model {model.name!r} makes {model.dims} dimensions, but the store of {store} has {dims}{hint}"
    )


def encode_query(model: Model, text: str) -> list[float]:
    """The vector of a question, with the model's prompt for questions where it has one.

    Raises:
        Transient, Permanent, TooLarge: see pgpipe.errors.
    """
    encode = getattr(model, "encode_query", model.encode)
    vector: list[float] = encode([text])[0].tolist()
    return vector


class Truncated:
    """A Matryoshka model's vectors, cut to their first dimensions and made of unit length again."""

    def __init__(self, model: Model, dims: int) -> None:
        self._model = model
        self.name = model.name
        self.dims = dims
        self.split = model.split
        if hasattr(model, "count"):
            self.count = model.count

    def encode(self, texts: list[str]) -> Vectors:
        """As `Model.encode`."""
        return self._cut(self._model.encode(texts))

    def encode_query(self, texts: list[str]) -> Vectors:
        """The same for questions."""
        return self._cut(getattr(self._model, "encode_query", self._model.encode)(texts))

    def _cut(self, vectors: Vectors) -> Vectors:
        return unit_length(vectors[:, : self.dims])


def unit_length(vectors: Vectors) -> Vectors:
    """Each row divided by its length; a row of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths == 0, 1, lengths), np.float32)
