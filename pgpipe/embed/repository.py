"""A model's repository as this machine reads it: data in named files. Its code and its pickles stay unread."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from pgpipe.config import EmbeddingSettings
from pgpipe.embed.location import DATA
from pgpipe.errors import ModelRefused

# Modules of sentence-transformers that name no class in files of their own, as Router and WordEmbeddings do.
MODULE = re.compile(
    r"sentence_transformers(\.\w+)*\.(Transformer|Pooling|Normalize|Dense|LayerNorm|Dropout|StaticEmbedding"
    r"|WeightedLayerPooling|CNN|LSTM|BoW|WordWeights)"
)
ACTIVATION = re.compile(r"torch\.nn\.modules\.\w+\.\w+")
# Settings by which the libraries run a repository's code, or read the files of another repository.
CODE = {"auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "code_revision"}
ELSEWHERE = {"pretrained_model_name_or_path", "transformers_weights"}


@contextmanager
def readable(settings: EmbeddingSettings, folder: Path) -> Iterator[Path]:
    """A folder from which the libraries may load the model: links to the files that hold data, and to no others.

    A model that may run Python of its own is taken as it is.

    Raises:
        ModelRefused: the repository needs more than data.
    """
    if settings.trusted:
        yield folder
        return
    require_data(settings, folder)
    with TemporaryDirectory(prefix="pgpipe-model-") as view:
        for file in {f for pattern in DATA for f in folder.rglob(pattern) if f.is_file()}:
            link = Path(view) / file.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file.resolve())
        yield Path(view)


def require_data(settings: EmbeddingSettings, folder: Path, *, weights: bool = True) -> None:
    """Look through the configuration files for code, and for weights in safetensors, unless the model is trusted.

    Args:
        settings: name the model.
        folder: of the repository.
        weights: whether there must be some.

    Raises:
        ModelRefused: the repository needs more than data; the line names the file.
    """
    fault = None if settings.trusted else next(_faults(folder, weights=weights), None)
    if fault:
        raise ModelRefused(
            f"the model {settings.model!r} is refused: {fault}; if you trust everybody who can write that repository,"
            " add the model to embedding.trust_remote_code"
        )


def _faults(folder: Path, *, weights: bool) -> Iterator[str]:
    """What of the repository is more than data, and where."""
    for file in sorted({*folder.rglob("*config*.json"), *folder.rglob("modules.json")}):
        name = file.relative_to(folder)
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, OSError, RecursionError):
            yield f"{name} is not valid JSON"
            continue
        if file.name == "modules.json":
            yield from (f"{name} names {what}" for what in _modules(content))
        if file.name == "adapter_config.json":
            yield f"{name} names the model of another repository"
        yield from (f"{name} sets {key}, which runs code" for key in _code(content))
    for file in folder.rglob("pytorch_model*.bin"):
        if weights and not any(file.parent.glob("*.safetensors")):
            yield f"{file.relative_to(folder)} is a pickle, which may hold code, and there is no safetensors file"
    if weights and not any(folder.rglob("*.safetensors")):
        yield f"{folder} has no weights in a safetensors file"


def _modules(content: Any) -> Iterator[str]:  # noqa: ANN401 - whatever the file holds
    """The modules that are not known to hold data only, and their folders that lie elsewhere."""
    for module in content if isinstance(content, list) else [content]:
        kind, path = (str(module.get(k, "")) for k in ("type", "path")) if isinstance(module, dict) else ("", "")
        if not MODULE.fullmatch(kind):
            yield f"the module {kind!r}, whose code is not a part of sentence-transformers that only reads data"
        if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
            yield f"the folder {path!r}, which is outside of the repository"


def _code(content: Any) -> Iterator[str]:  # noqa: ANN401 - whatever the file holds
    """Settings, at any depth, that make the libraries run code or read other repositories."""
    below = content.values() if isinstance(content, dict) else content if isinstance(content, list) else ()
    for value in below:
        yield from _code(value)
    for key, value in content.items() if isinstance(content, dict) else ():
        text = value if isinstance(value, str) else ""
        if (
            (value and key in CODE | ELSEWHERE)
            or ("attn_implementation" in key and "/" in text)  # compiled code of a hub's repository
            or (key == "activation_function" and "." in text and not ACTIVATION.fullmatch(text))
        ):
            yield key
