"""A model's repository as this machine reads it: data in named files. Its code and its pickles stay unread."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

from pgpipe.embed.model.location import DATA
from pgpipe.errors import ModelRefused
from pgpipe.settings.backend import ModelSettings

# Modules of sentence-transformers that name no class in files of their own, as Router and WordEmbeddings do.
MODULE = re.compile(
    r"sentence_transformers(\.\w+)*\.(Transformer|Pooling|Normalize|Dense|LayerNorm|Dropout|StaticEmbedding"
    r"|WeightedLayerPooling|CNN|LSTM|BoW|WordWeights|LogitScore)"
)
# Settings that name a function by its path; of a model that reranks, also in earlier versions.
ACTIVATIONS = {"activation_function", "activation_fn", "sbert_ce_default_activation_function"}
ACTIVATION = re.compile(r"torch\.nn\.modules\.\w+\.\w+")
# Settings by which the libraries run a repository's code, or read the files of another repository.
CODE = {"auto_map", "custom_pipelines", "custom_generate", "trust_remote_code", "code_revision", "use_kernels"}
ELSEWHERE = {"transformers_weights", "use_pretrained_backbone", "backbone"}
OWN_NAMES = {"_name_or_path", "name_or_path"}  # where the model was made; nobody reads it there
# Arguments of the libraries' functions: of hundreds, some of which name folders, those that a model of data needs.
ARGUMENTS = {"model_args", "model_kwargs", "tokenizer_args", "processor_kwargs", "config_args", "config_kwargs"}
HARMLESS = {
    "add_eos_token", "add_pooling_layer", "add_prefix_space", "attn_implementation", "clean_up_tokenization_spaces",
    "do_lower_case", "dtype", "max_length", "max_pixels", "min_pixels", "model_max_length", "padding", "padding_side",
    "torch_dtype", "truncation", "truncation_side", "use_cache", "use_fast",
}  # fmt: skip
CHECKED = ("*config*.json", "modules.json", "*.index.json")
SHARD = re.compile(r"[\w-][\w.-]*\.safetensors")


@contextmanager
def readable(settings: ModelSettings, folder: Path) -> Iterator[Path]:
    """A folder from which the libraries may load the model: links to the files that hold data, and to no others.

    A model that may run Python of its own is taken as it is.

    Raises:
        ModelRefused: the repository needs more than data.
    """
    if settings.trusted:
        yield folder
        return
    with TemporaryDirectory(prefix="pgpipe-model-") as view:
        # What was looked through is what is loaded, also if somebody writes to the folder meanwhile.
        for name, content in require_data(settings, folder).items():
            _below(Path(view), name).write_text(json.dumps(_without_files(content)), encoding="utf-8")
        for file in {f for pattern in DATA for f in folder.rglob(pattern) if f.is_file()}:
            if not any(file.match(pattern) for pattern in CHECKED):
                _below(Path(view), file.relative_to(folder)).symlink_to(file.resolve())
        yield Path(view)


def require_data(settings: ModelSettings, folder: Path, *, weights: bool = True) -> dict[Path, Any]:
    """Look through the configuration files for code, and for weights in safetensors, unless the model is trusted.

    Args:
        settings: name the model.
        folder: of the repository.
        weights: whether there must be some.

    Returns:
        The files that were looked through, by their paths within the folder; none of a trusted model.

    Raises:
        ModelRefused: the repository needs more than data; the line names the file.
    """
    contents: dict[Path, Any] = {}
    fault = None if settings.trusted else next(_faults(folder, contents, weights=weights), None)
    if fault:
        raise ModelRefused(
            f"the model {settings.model!r} is refused: {fault}; if you trust everybody who can write that repository,"
            f" add the model to {settings.SECTION}.trust_remote_code"
        )
    return contents


def _below(view: Path, name: Path) -> Path:
    """The file's path in the view, whose folder is made."""
    (view / name).parent.mkdir(parents=True, exist_ok=True)
    return view / name


def _without_files(content: Any) -> Any:  # noqa: ANN401 - whatever the file holds
    """Without the paths of the machine where a tokenizer was made: the libraries would read them on this one."""
    return {k: v for k, v in content.items() if not k.endswith("_file")} if isinstance(content, dict) else content


def _faults(folder: Path, contents: dict[Path, Any], *, weights: bool) -> Iterator[str]:
    """What of the repository is more than data, and where; fills in what the configuration files hold."""
    for file in sorted({f for pattern in CHECKED for f in folder.rglob(pattern) if f.is_file()}):
        name = file.relative_to(folder)
        if file.match("*.index.json") and not file.match("*.safetensors.index.json"):
            continue  # of pickles, which nobody reads here
        try:
            content = contents[name] = json.loads(file.read_text(encoding="utf-8"))
            keys = list(_code(content))
        except (ValueError, OSError):
            yield f"{name} is not valid JSON"
            continue
        except RecursionError:
            yield f"{name} is nested too deeply"
            continue
        yield from (f"{name} sets {key}, which runs code or reads other files" for key in keys)
        yield from (f"{name} names {what}" for what in _named(file.name, content))
    for file in folder.rglob("pytorch_model*.bin"):
        if weights and not any(file.parent.glob("*.safetensors")):
            yield f"{file.relative_to(folder)} is a pickle, which may hold code, and a safetensors file is missing"
    if weights and not any(folder.rglob("*.safetensors")):
        yield f"{folder} has no weights in a safetensors file"


def _named(file: str, content: Any) -> Iterator[str]:  # noqa: ANN401 - whatever the file holds
    """What a file of this name may not name."""
    if file == "modules.json":
        yield from _modules(content)
    if file == "adapter_config.json":
        yield "the model of another repository"
    if file.endswith(".index.json"):
        shards = content.get("weight_map") if isinstance(content, dict) else None
        for shard in shards.values() if isinstance(shards, dict) else [shards]:
            if not (isinstance(shard, str) and SHARD.fullmatch(shard)):
                yield f"the weights {shard!r}, which are not a safetensors file of the same folder"


def _modules(content: Any) -> Iterator[str]:  # noqa: ANN401 - whatever the file holds
    """The modules that are not known to hold data only, and their folders that lie elsewhere."""
    for module in content if isinstance(content, list) else [content]:
        kind, path = (module.get("type"), module.get("path")) if isinstance(module, dict) else ("", "")
        if not (isinstance(kind, str) and isinstance(path, str)):
            yield f"a module without a type and a folder: {module!r}"
            continue
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
        if key in ARGUMENTS and value:
            yield from (f"{key}.{k}" for k in (value if isinstance(value, dict) else "?") if k not in HARMLESS)
        if (
            (value and (key in CODE | ELSEWHERE or (key.endswith("name_or_path") and key not in OWN_NAMES)))
            or ("attn_implementation" in key and "/" in text)  # compiled code of a hub's repository
            or (key in ACTIVATIONS and "." in text and not ACTIVATION.fullmatch(text))
        ):
            yield key
