"""BERT and its like in numpy, for single questions: weights are read in a moment, while loading torch takes seconds."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pgpipe.embed.model.base import Model, Vectors, load_model
from pgpipe.embed.model.files import require_data
from pgpipe.embed.model.layout import read
from pgpipe.embed.model.location import locate
from pgpipe.embed.model.runtime import Integers, TokenModel
from pgpipe.errors import PgpipeError
from pgpipe.log import get_logger
from pgpipe.mask import said
from pgpipe.settings.model import EmbeddingSettings

log = get_logger(__name__)
Array = npt.NDArray[np.float32]
KINDS = {"bert", "roberta", "xlm-roberta", "camembert"}
# erf to 1.5e-7, which is what single precision holds: Abramowitz and Stegun, 7.1.26.
ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
ERF_STEP = 0.3275911
# Multiplications of one product. For more, OpenBLAS takes threads, which wait for each other without sleep. With other
# work on two cores, a question then took a second of both instead of 15 ms of one.
MOST = 4 * 65_536
ROWS = 16  # of one product


def load_for_questions(settings: EmbeddingSettings) -> Model:
    """The model that answers a single question soonest: in numpy if the backend is torch and the model a BERT.

    Raises:
        As `load_model`.
    """
    quick = None
    if settings.backend == "torch" and settings.device in {None, "cpu"}:
        try:
            quick = _load(settings)
        except PgpipeError:
            raise
        except Exception as exc:  # noqa: BLE001 - a file of another form: the library knows it, or says what is wrong
            log.debug("not computed in numpy", model=settings.model, error=said(exc))
    return quick or load_model(settings)


def _load(settings: EmbeddingSettings) -> TokenModel | None:
    location = locate(settings)
    folder = Path(location.path)
    if settings.trusted or not location.local or not (folder / "model.safetensors").exists():
        return None
    require_data(settings, folder)
    layout = read(settings, folder)
    if layout is None or not _known(layout.config):
        return None
    return TokenModel(settings.model, layout, Bert(folder / "model.safetensors", layout.config))


def _known(config: dict[str, Any]) -> bool:
    return (
        config.get("model_type") in KINDS
        and config.get("hidden_act") == "gelu"
        and config.get("position_embedding_type", "absolute") == "absolute"
        and not config.get("is_decoder")
    )


class Bert:
    """States of tokens, as the transformer of that name computes them."""

    def __init__(self, file: Path, config: dict[str, Any]) -> None:
        """Read the weights.

        Raises:
            KeyError, TypeError, ValueError: the file has other tensors.
        """
        from safetensors import safe_open

        with safe_open(str(file), framework="numpy") as tensors:
            names = set(tensors.keys())
            (prefix,) = (name for name in names if name.endswith("embeddings.word_embeddings.weight"))
            start = prefix.removesuffix("embeddings.word_embeddings.weight")
            self._weights = {
                name.removeprefix(start): np.asarray(tensors.get_tensor(name), np.float32)
                for name in names
                if name.startswith((f"{start}embeddings.", f"{start}encoder.")) and "position_ids" not in name
            }
        self._heads = int(config["num_attention_heads"])
        self._layers = int(config["num_hidden_layers"])
        self._epsilon = float(config["layer_norm_eps"])
        self._first = 0 if config["model_type"] == "bert" else int(config["pad_token_id"]) + 1

    def __call__(self, ids: Integers, mask: Integers, types: Integers) -> Vectors:
        """The last states, shape (text, token, dimension)."""
        table = self._weights
        positions = self._first + np.arange(ids.shape[1])
        x = table["embeddings.word_embeddings.weight"][ids] + table["embeddings.token_type_embeddings.weight"][types]
        x = self._norm(x + table["embeddings.position_embeddings.weight"][positions], "embeddings.LayerNorm")
        hidden = np.where(mask, 0, np.finfo(np.float32).min).astype(np.float32)[:, None, None, :]
        for n in range(self._layers):
            x = self._layer(x, hidden, f"encoder.layer.{n}.")
        return x

    def _layer(self, x: Array, hidden: Array, name: str) -> Array:
        query, key, value = (
            self._split(self._linear(x, f"{name}attention.self.{part}")) for part in ("query", "key", "value")
        )
        scores = query @ key.swapaxes(2, 3) / np.float32(math.sqrt(query.shape[3])) + hidden
        scores = np.exp(scores - scores.max(axis=3, keepdims=True))
        scores /= scores.sum(axis=3, keepdims=True)
        seen = (scores @ value).swapaxes(1, 2).reshape(x.shape)
        x = self._norm(x + self._linear(seen, f"{name}attention.output.dense"), f"{name}attention.output.LayerNorm")
        inner = _gelu(self._linear(x, f"{name}intermediate.dense"))
        return self._norm(x + self._linear(inner, f"{name}output.dense"), f"{name}output.LayerNorm")

    def _split(self, x: Array) -> Array:
        """One part a head: (text, head, token, dimension)."""
        return x.reshape(*x.shape[:2], self._heads, -1).swapaxes(1, 2)

    def _linear(self, x: Array, name: str) -> Array:
        weights = self._weights[f"{name}.weight"].T
        made = _product(x.reshape(-1, x.shape[2]), weights) + self._weights[f"{name}.bias"]
        return made.reshape(*x.shape[:2], -1)

    def _norm(self, x: Array, name: str) -> Array:
        x = x - x.mean(axis=2, keepdims=True)
        x /= np.sqrt((x * x).mean(axis=2, keepdims=True) + np.float32(self._epsilon))
        made: Array = x * self._weights[f"{name}.weight"] + self._weights[f"{name}.bias"]
        return made


def _product(x: Array, weights: Array) -> Array:
    """The matrix product, by blocks that are computed in this thread."""
    made = np.empty((x.shape[0], weights.shape[1]), np.float32)
    rows = min(ROWS, x.shape[0])
    columns = max(MOST // (rows * x.shape[1]), 1)
    for i in range(0, x.shape[0], rows):
        for j in range(0, weights.shape[1], columns):
            np.matmul(x[i : i + rows], weights[:, j : j + columns], out=made[i : i + rows, j : j + columns])
    return made


def _gelu(x: Array) -> Array:
    size = np.abs(x) * np.float32(math.sqrt(0.5))
    step = 1 / (1 + np.float32(ERF_STEP) * size)
    series = np.zeros_like(step)
    for coefficient in ERF:
        series = (series + np.float32(coefficient)) * step
    erf = np.copysign(1 - series * np.exp(-size * size), x)
    made: Array = x * np.float32(0.5) * (1 + erf)
    return made
