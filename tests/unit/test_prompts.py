"""Prompts: which models are known to need one, and when nothing is said."""

import json
from pathlib import Path

import pytest

from pgpipe.embed.model.prompts import BGE, lacking
from pgpipe.settings.model import EmbeddingSettings


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (
            "intfloat/multilingual-e5-small",
            'embedding.query_prompt = "query: " and embedding.document_prompt = "passage: "',
        ),
        ("BAAI/bge-small-en-v1.5", f'embedding.query_prompt = "{BGE}"'),
        ("sentence-transformers/all-MiniLM-L6-v2", ""),
        ("BAAI/bge-m3", ""),
    ],
)
def test_models_that_are_known(model: str, said: str) -> None:
    """The settings that are missing, as they are written."""
    assert lacking(EmbeddingSettings(model=model)) == said


def test_prompts_that_are_there(tmp_path: Path) -> None:
    """Of the settings, also empty ones, or of the model's own folder."""
    assert lacking(EmbeddingSettings(model="intfloat/e5-base", query_prompt="q: ", document_prompt="")) == ""
    half = EmbeddingSettings(model="intfloat/e5-base", query_prompt="q: ")
    assert lacking(half) == 'embedding.document_prompt = "passage: "'
    folder = tmp_path / "e5-base"
    folder.mkdir()
    (folder / "config_sentence_transformers.json").write_text(json.dumps({"prompts": {"query": "q", "passage": "p"}}))
    assert lacking(EmbeddingSettings(model=str(folder))) == ""
