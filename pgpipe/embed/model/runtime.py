"""Models that run without torch: exported ones by onnxruntime or openvino, and whatever computes states of tokens."""

import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pgpipe.embed.model.base import Model, Vectors, is_short, unit_length
from pgpipe.embed.model.export import exported, missing
from pgpipe.embed.model.layout import Layout, read
from pgpipe.embed.model.tokens import Tokens
from pgpipe.errors import TooLarge
from pgpipe.settings.model import EmbeddingSettings

BATCH = 32  # texts at once; more is slower on a processor, whose cache is small
Integers = npt.NDArray[np.int64]
# From ids, mask and types of tokens (text, token) to their states (text, token, dimension).
States = Callable[[Integers, Integers, Integers], Vectors]
RUNTIMES = {"onnx": "onnxruntime", "onnx-int8": "onnxruntime", "openvino": "openvino"}


class TokenModel:
    """A model given by its layout and by what computes the states of tokens. Any number of threads may use it."""

    concurrent = True

    def __init__(self, name: str, layout: Layout, states: States) -> None:
        self.name = name
        self._layout = layout
        self._states = states
        tokens = Tokens(layout.tokenizer, layout.limit, layout.prompts["document"])
        self.count, self.split, self.room = tokens.count, tokens.split, tokens.room
        self.dims = self._encode(["a word"], "").shape[1]

    def encode(self, texts: list[str]) -> Vectors:
        """Vectors of documents, in the order of the texts.

        Raises:
            TooLarge: the texts at once need more memory than there is.
        """
        return self._encode(texts, self._layout.prompts["document"])

    def encode_query(self, texts: list[str]) -> Vectors:
        """The same for questions."""
        return self._encode(texts, self._layout.prompts["query"])

    def _encode(self, texts: list[str], prompt: str) -> Vectors:
        encoded = self._layout.tokenizer.encode_batch([prompt + text for text in texts])
        order = sorted(range(len(texts)), key=lambda n: -len(encoded[n].ids))
        vectors: Vectors | None = None
        for start in range(0, len(order), BATCH):
            part = order[start : start + BATCH]
            try:
                made = self._vectors([encoded[n] for n in part])
            except MemoryError as exc:
                raise TooLarge(f"{len(part)} texts need more memory than there is") from exc
            if vectors is None:
                vectors = np.empty((len(texts), made.shape[1]), np.float32)
            vectors[part] = made
        return np.empty((0, getattr(self, "dims", 0)), np.float32) if vectors is None else vectors

    def _vectors(self, encoded: list[Any]) -> Vectors:
        shape = (len(encoded), max(len(each.ids) for each in encoded))
        ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
        ids += int(self._layout.config.get("pad_token_id") or 0)
        for row, each in enumerate(encoded):
            n = len(each.ids)
            ids[row, :n], mask[row, :n], types[row, :n] = each.ids, 1, each.type_ids
        states = self._states(ids, mask, types)
        if self._layout.pooling == "cls":
            return unit_length(states[:, 0])
        weights = mask[:, :, None].astype(np.float32)
        return unit_length((states * weights).sum(axis=1) / np.maximum(weights.sum(axis=1), 1e-9))


def load_exported(settings: EmbeddingSettings) -> Model:
    """The model of the backends onnx, onnx-int8 and openvino; the library runs it only if it has parts of its own.

    Raises:
        ModelRefused: the repository needs more than data.
        ModelError: a package of the backend is missing, or the exported model cannot be kept.
        Exception: of the libraries, in many kinds.
    """
    if find_spec(RUNTIMES[settings.backend]) is None:
        raise missing(settings.backend)
    provider = "" if settings.backend == "openvino" else _provider(settings)
    folder = exported(settings, provider)
    layout = None if settings.trusted else read(settings, folder)
    if layout is None or (settings.backend == "openvino" and settings.device not in {None, "cpu"}):
        from pgpipe.embed.model.sentence import SentenceModel

        return SentenceModel(settings)
    states = _openvino(folder) if settings.backend == "openvino" else _onnx(folder, provider)
    return TokenModel(settings.model, layout, states)


def _provider(settings: EmbeddingSettings) -> str:
    import onnxruntime

    cuda = settings.device is None or settings.device.startswith("cuda")
    return next(
        (p for p in onnxruntime.get_available_providers() if cuda and p.startswith("CUDA")), "CPUExecutionProvider"
    )


def _onnx(folder: Path, provider: str) -> States:
    import onnxruntime

    onnxruntime.set_default_logger_severity(3)  # errors
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "model.onnx"), providers=[provider])
    inputs = [given.name for given in session.get_inputs()]

    def states(ids: Integers, mask: Integers, types: Integers) -> Vectors:
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        try:
            return np.asarray(session.run(None, {name: given[name] for name in inputs})[0], np.float32)
        except Exception as exc:
            raise _short_of_memory(exc) from exc

    return states


def _openvino(folder: Path) -> States:
    import openvino

    compiled = openvino.Core().compile_model(
        str(folder / "openvino" / "openvino_model.xml"), "CPU", {"PERFORMANCE_HINT": "LATENCY"}
    )
    inputs = [given.get_any_name() for given in compiled.inputs]
    request = compiled.create_infer_request()
    turn = threading.Lock()  # a request holds one question at a time

    def states(ids: Integers, mask: Integers, types: Integers) -> Vectors:
        given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}
        try:
            with turn:
                return np.array(request.infer({name: given[name] for name in inputs})[0], np.float32)
        except Exception as exc:
            raise _short_of_memory(exc) from exc

    return states


def _short_of_memory(exc: Exception) -> BaseException:
    """The error itself, or MemoryError if that is what a runtime means."""
    return MemoryError(str(exc)) if is_short(exc) else exc
