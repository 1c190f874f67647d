"""Prompts: models that were trained with words put before each text, and answer worse without them."""

import json
import re
from pathlib import Path

from pgpipe.embed.model.base import LOCAL
from pgpipe.embed.model.layout import prompt
from pgpipe.embed.model.location import locate
from pgpipe.settings.model import EmbeddingSettings

BGE = "Represent this sentence for searching relevant passages: "
# By the name on the hub, without its owner: the prompts of a question and of a document that its card asks for.
KNOWN: tuple[tuple[re.Pattern[str], str, str], ...] = (
    (re.compile(r"(multilingual-)?e5-(small|base|large)(-v2)?"), "query: ", "passage: "),
    (re.compile(r"bge-(small|base|large)-en(-v1\.5)?"), BGE, ""),
    (re.compile(r"mxbai-embed-(large|xsmall)-v1"), BGE, ""),
    (re.compile(r"snowflake-arctic-embed-(xs|s|m|l)(-v1\.5)?"), BGE, ""),
    (re.compile(r"snowflake-arctic-embed-(m|l)-v2\.0"), "query: ", ""),
    (re.compile(r"nomic-embed-text-v1(\.5)?"), "search_query: ", "search_document: "),
)


def lacking(settings: EmbeddingSettings) -> str:
    """What to set for a model that is known to need prompts, if neither it nor the settings have any; else nothing."""
    name = settings.model.rstrip("/").rpartition("/")[2].lower()
    own = _own(settings)
    for pattern, query, document in KNOWN:
        if pattern.fullmatch(name):
            wanted = {"query_prompt": (query, "query"), "document_prompt": (document, "document")}
            missing = [
                f"embedding.{setting} = {json.dumps(text)}"
                for setting, (text, role) in wanted.items()
                if text and prompt(own, role, getattr(settings, setting)) is None
            ]
            return " and ".join(missing)
    return ""


def _own(settings: EmbeddingSettings) -> dict[str, str]:
    """The prompts that the model's folder has, if it is on this machine."""
    location = locate(settings) if settings.backend in LOCAL else None
    if location is None or not location.local:
        return {}
    try:
        file = Path(location.path) / "config_sentence_transformers.json"
        found: dict[str, str] | None = json.loads(file.read_text(encoding="utf-8")).get("prompts")
    except (OSError, ValueError, AttributeError):
        return {}
    return found or {}
