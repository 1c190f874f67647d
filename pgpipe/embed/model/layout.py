"""What a model's folder says about texts on their way to vectors, as far as it can be done without its library.

That library imports torch, which takes seconds. Whatever is not known here to be harmless is left to it.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pgpipe.settings.model import EmbeddingSettings

Pooling = Literal["mean", "cls"]
ROLES = {"query": ("query",), "document": ("document", "passage", "corpus")}  # names of a model's prompts
OWN = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")  # in names of the library's file
MODULES = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
# How BertTokenizer corrects its file, by the settings that it reads from another one.
NORMALIZER = {"do_lower_case": "lowercase", "strip_accents": "strip_accents"}
NORMALIZER |= {"tokenize_chinese_chars": "handle_chinese_chars"}


@dataclass(frozen=True)
class Layout:
    """How a model reads texts, and how the states of tokens become a vector."""

    tokenizer: Any  # of the library tokenizers, which cuts off what the model does not read, and does not pad
    limit: int  # tokens that the model reads
    pooling: Pooling
    prompts: dict[str, str]  # query and document
    config: dict[str, Any]  # of the transformer


def prompt(prompts: dict[str, str], role: str, wanted: str | None) -> str | None:
    """What is put before a text of this role: what is wanted, else the model's own; None if it has none."""
    if wanted is not None:
        return wanted
    return next((prompts[name] for name in ROLES[role] if prompts.get(name)), None)


def read(settings: EmbeddingSettings, folder: Path) -> Layout | None:
    """The layout of a model's folder; None if only the library knows what to do with it."""
    modules = _json(folder / "modules.json")
    if not isinstance(modules, list) or [str(m["type"]).rpartition(".")[2] for m in modules] not in MODULES:
        return None
    pooling = _pooling(_json(folder / modules[1]["path"] / "config.json"))
    inner = folder / modules[0]["path"]
    config, tokens = (_json(inner / name) for name in ("config.json", "tokenizer_config.json"))
    written = (_json(inner / f"sentence_{kind}_config.json") for kind in OWN)
    own: dict[str, Any] = next(filter(None, written), {})
    if not (pooling and config and (inner / "tokenizer.json").exists()) or config.get("auto_map"):
        return None
    tokenizer = _tokenizer(inner / "tokenizer.json", own, tokens)
    limits = (own.get("max_seq_length") or tokens.get("model_max_length"), config.get("max_position_embeddings"))
    limit = min((n for n in limits if isinstance(n, (int, float)) and n > 0), default=0)
    if tokenizer is None or not limit:
        return None
    tokenizer.enable_truncation(int(limit))
    known = _json(folder / "config_sentence_transformers.json")
    wanted = {"query": settings.query_prompt, "document": settings.document_prompt}
    prompts = known.get("prompts") or {}
    chosen = {role: prompt(prompts, role, wanted[role]) for role in ROLES}
    return Layout(tokenizer, int(limit), pooling, {role: text or "" for role, text in chosen.items()}, config)


def _pooling(config: dict[str, Any]) -> Pooling | None:
    mode = config.get("pooling_mode")
    if mode is None:  # as versions before 5 wrote it
        named = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
        active = [name for name, value in config.items() if name.startswith("pooling_mode_") and value]
        mode = next((mode for mode, name in named.items() if active == [name]), None)
    if not config.get("include_prompt", True):
        return None
    return "mean" if mode == "mean" else "cls" if mode == "cls" else None


def _tokenizer(file: Path, own: dict[str, Any], settings: dict[str, Any]) -> Any:  # noqa: ANN401 - see Layout
    """The tokenizer of the file; None where the library would change it, or not read the whole text's beginning."""
    from tokenizers import Tokenizer

    found = Tokenizer.from_file(str(file))
    normalizer = json.loads(found.to_str()).get("normalizer") or {}
    if str(settings.get("tokenizer_class", "")).startswith("Bert") and any(
        name in settings and settings[name] != normalizer.get(key) for name, key in NORMALIZER.items()
    ):
        return None
    if own.get("do_lower_case") and not normalizer.get("lowercase"):
        return None
    if settings.get("truncation_side", "right") != "right" or settings.get("padding_side", "right") != "right":
        return None
    found.no_padding()
    return found


def _json(file: Path) -> Any:  # noqa: ANN401 - whatever the file holds
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
