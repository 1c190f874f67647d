"""A model that a database names: its Python never runs on this machine, unless its own configuration says so."""

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pgpipe import errors
from pgpipe.api.vectors import ModelLoading
from pgpipe.db import Connection, Database
from pgpipe.embed.model import files
from pgpipe.embed.model.base import dimensions, load_model
from pgpipe.settings.model import DEFAULT_MODEL, EmbeddingSettings, Settings
from pgpipe.web.asking import Models, ask, parse_question
from tests.conftest import Cli
from tests.flow.test_model_location import cached, no_network, wheel

__all__ = ["no_network", "wheel"]
pytestmark = pytest.mark.model

HUB = "acme/evil"
EVIL = """
from pathlib import Path
Path({mark!r}).write_text("ran")
from sentence_transformers.models import Transformer
class Evil(Transformer):
    pass
"""


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that the model's own Python writes where it runs."""
    return tmp_path / "it ran"


@pytest.fixture
def evil(tmp_path: Path, wheel: Path, mark: Path) -> Path:
    """A repository that is the default model, with a module of its own."""
    folder = tmp_path / "evil"
    shutil.copytree(wheel, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    (folder / "modeling_evil.py").write_text(EVIL.format(mark=str(mark)))
    rewrite(folder / "modules.json", lambda modules: modules[0].update(type="modeling_evil.Evil"))
    return folder


def rewrite(file: Path, change: Callable[[object], object]) -> None:
    """Change a JSON file, which may be a link."""
    content = json.loads(file.read_text()) if file.exists() else {}
    change(content)
    file.unlink(missing_ok=True)
    file.write_text(json.dumps(content))


@pytest.fixture
def hub(tmp_path: Path, evil: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The evil repository in the hub's cache of this machine, where an earlier download may have left it."""
    cached(tmp_path / "cache", HUB, evil)
    monkeypatch.setenv("PGPIPE_EMBEDDING__CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


def declare(conn: Connection, model: str, table: str = "doc") -> None:
    """What a role that may declare does; a row waits for the embedder, and another table is honest."""
    conn.execute(f"create table {table} (id int primary key, title text)")
    conn.execute(f"insert into {table} values (1, 'a title')")
    conn.execute("select pgpipe.enable_embedding(%s, '{title}', %s, 384)", (table, model))


@pytest.mark.parametrize(
    ("where", "backend"),
    [(w, "torch") for w in ("hub", "folder", "link", "listed")] + [("listed", b) for b in ("onnx", "openvino")],
)
def test_a_models_own_python_never_runs(
    where: str, backend: str, database: Database, cli: Cli, hub: Path, evil: Path, mark: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """K3: a database that names a model with Python of its own makes no machine run it: embedder, search, serve."""
    model = HUB if where in {"hub", "listed"} else str(evil)
    if where == "link":
        (tmp_path / "sentence-transformers").mkdir()
        (tmp_path / "sentence-transformers" / "link").symlink_to(evil)
        model = "sentence-transformers/link"
        monkeypatch.setenv("PGPIPE_EMBEDDING__MODELS", '["sentence-transformers/*"]')
    if where == "listed":  # by a pattern, which allows the name but trusts no code
        monkeypatch.setenv("PGPIPE_EMBEDDING__MODELS", '["acme/*"]')
    monkeypatch.setenv("PGPIPE_EMBEDDING__BACKEND", backend)
    with database.connect(autocommit=True) as conn:
        declare(conn, DEFAULT_MODEL, "honest")
        declare(conn, model)
        if backend == "torch":
            drained = cli("embedder", "--drain")
            assert conn.execute("select count(*) from honest_embedding").fetchall() == [(1,)]
            assert (drained.code, drained.err.count("\n")) == (2, 1), drained.err
            assert model in drained.err
        searched = cli("search", "title", "--entity", "doc", "--mode", "vector")
        own = Settings(embedding=EmbeddingSettings(backend=backend, cache_dir=hub, models=("acme/*",)))
        served = Models(own.embedding)
        question = parse_question({"q": "title", "entity": "doc"})
        served.start(model)
        answers = ask(conn, served, question, "public", ["vector"])
        while isinstance(answers[0].error, ModelLoading):
            answers = ask(conn, served, question, "public", ["vector"])

    assert searched.code == 2, searched.err
    assert model in searched.err
    assert isinstance(answers[0].error, errors.ModelRefused)
    assert not mark.exists()
    if where == "listed":
        assert "modules.json names the module 'modeling_evil.Evil'" in searched.err
        assert "add the model to embedding.trust_remote_code" in searched.err
    else:
        assert "add it to embedding.models" in searched.err


def test_status_and_doctor_name_what_is_left_alone(database: Database, cli: Cli) -> None:
    """K3: an embedding whose model this machine may not run is named by status and doctor, and is no failure."""
    with database.connect(autocommit=True) as conn:
        declare(conn, HUB)

    status, doctor = cli("status"), cli("doctor", "--json", "--skip-model")

    assert status.code == 0
    assert f"doc: the embedding default is left alone by this machine, because its model '{HUB}'" in status.err
    assert [e["allowed_here"] for e in json.loads(cli("status", "--json").out)["embeddings"]] == [False]
    named = [f for f in json.loads(doctor.out) if f["check"] == "allowed models"]
    assert [(f["state"], HUB in f["message"]) for f in named] == [("warning", True)]


CODE = {
    "modules.json": [
        lambda m: m[1].update(type="transformers.Evil"),  # looked for in the folder first
        lambda m: m[1].update(type="sentence_transformers.util.misc.importlib"),
        lambda m: m[1].update(type="sentence_transformers.models.Router"),  # names classes in a file of its own
        lambda m: m[1].update(path="../outside"),
        lambda m: m.append("odd"),
        lambda m: m[1].pop("path"),
    ],
    "config.json": [
        lambda c: c.update(auto_map={"AutoModel": "modeling_evil.Evil"}),
        lambda c: c.update(attn_implementation="acme/evil-kernel"),
        lambda c: c.update(text_config={"auto_map": {"AutoConfig": "acme/other--evil.Evil"}}),
    ],
    "tokenizer_config.json": [lambda c: c.update(auto_map={"AutoTokenizer": ["evil.Evil", None]})],
    "sentence_bert_config.json": [
        lambda c: c.update(model_args={"trust_remote_code": True}),
        lambda c: c.update(model_kwargs={"pretrained_model_name_or_path": "/tmp/other"}),
        lambda c: c.update(tokenizer_name_or_path="/tmp/other"),
        lambda c: c.update(model_args={"subfolder": "../other"}),  # and a hundred other arguments
        lambda c: c.update(model_args={"use_kernels": True}),
        lambda c: c.update(config_args="odd"),
    ],
    "adapter_config.json": [lambda c: c.update(base_model_name_or_path="acme/evil")],
    "model.safetensors.index.json": [
        lambda c: c.update(weight_map={"a": "/tmp/other.safetensors"}),
        lambda c: c.update(weight_map={"a": "pytorch_model.bin"}),
        lambda c: c.update(weight_map="odd"),
    ],
    "2_Dense/config.json": [lambda c: c.update(activation_function="torch.distributed.run.main")],
}  # fmt: skip


@pytest.mark.parametrize(("file", "change"), [(f, c) for f, changes in CODE.items() for c in changes])
def test_configuration_that_names_code(
    file: str, change: Callable[[object], object], tmp_path: Path, wheel: Path
) -> None:
    """K3: whichever file of a repository names code, the model is refused in a line that names the file."""
    folder = tmp_path / "model"
    shutil.copytree(wheel, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    (folder / file).parent.mkdir(exist_ok=True)
    rewrite(folder / file, change)
    settings = EmbeddingSettings(model=str(folder), cache_dir=tmp_path)

    for load in (load_model, dimensions):
        with pytest.raises(errors.ModelRefused, match=rf"{file} (names|sets)") as raised:
            load(settings)
        assert "\n" not in str(raised.value)


def test_a_tokenizer_reads_its_own_files(tmp_path: Path, wheel: Path) -> None:
    """K3: a vocabulary elsewhere on the machine, which a repository names, stays unread."""
    folder = tmp_path / "model"
    shutil.copytree(wheel, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    (folder / "tokenizer.json").unlink()
    own = tmp_path / "passwd"
    own.write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nroot\n")
    rewrite(folder / "tokenizer_config.json", lambda c: c.update(vocab_file=str(own), merges_file=str(own)))  # type: ignore[attr-defined]

    model = load_model(EmbeddingSettings(model=str(folder), cache_dir=tmp_path))

    assert model._model.tokenizer.vocab_size == 30522  # type: ignore[attr-defined]


def test_an_index_of_pickles_is_not_followed(tmp_path: Path, wheel: Path) -> None:
    """K3: weights that an index names elsewhere, as pickles, stay unread, though a folder has a safetensors file."""
    import torch

    folder = tmp_path / "model"
    shutil.copytree(wheel, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    (folder / "1_Pooling" / "model.safetensors").symlink_to((folder / "model.safetensors").resolve())
    (folder / "model.safetensors").unlink()
    torch.save({"embeddings.word_embeddings.weight": torch.zeros(30522, 384)}, tmp_path / "weights.bin")
    index = {"metadata": {}, "weight_map": {"embeddings.word_embeddings.weight": str(tmp_path / "weights.bin")}}
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index))

    with pytest.raises(errors.ModelError, match=r"no file named pytorch_model.bin, model.safetensors"):
        load_model(EmbeddingSettings(model=str(folder), cache_dir=tmp_path))


def test_files_that_change_after_the_check(
    tmp_path: Path, wheel: Path, evil: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3: what was looked through is what is loaded, also if somebody swaps the files before the library reads them."""
    folder = tmp_path / "model"
    shutil.copytree(wheel, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    checked = files.require_data

    def swap(settings: EmbeddingSettings, where: Path) -> dict[Path, object]:
        found = checked(settings, where)
        shutil.copy(evil / "modeling_evil.py", folder)
        (folder / "modules.json").unlink()
        shutil.copy(evil / "modules.json", folder)
        (folder / "1_Pooling" / "adapter_config.json").write_text("{}")
        return found

    monkeypatch.setattr(files, "require_data", swap)
    settings = EmbeddingSettings(model=str(folder), cache_dir=tmp_path)

    assert load_model(settings).dims == 384
    assert not mark.exists()
    with pytest.raises(errors.ModelRefused, match=r"adapter_config.json names the model of another repository"):
        load_model(settings)


class Bomb:
    """What a pickle runs when it is read."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return (Path.write_text, (Path(self.mark), "ran"))  # type: ignore[return-value]


def test_a_pickle_is_never_read(tmp_path: Path, wheel: Path, mark: Path) -> None:
    """K3: weights are read from safetensors only; a pickle of the same folder stays unread, or the model is refused."""
    folder = tmp_path / "model"
    shutil.copytree(wheel, folder, copy_function=lambda a, b: Path(b).symlink_to(a))
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(mark)))
    settings = EmbeddingSettings(model=str(folder), cache_dir=tmp_path)
    assert load_model(settings).dims == 384

    (folder / "model.safetensors").unlink()
    with pytest.raises(errors.ModelRefused, match=r"pytorch_model.bin is a pickle"):
        load_model(settings)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(errors.ModelRefused, match=r"has no weights in a safetensors file"):
        load_model(settings)
    assert not mark.exists()


def test_an_export_of_a_model_with_code_is_refused(
    tmp_path: Path, evil: Path, mark: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3: an export that an earlier version made of such a model, with its code, is not loaded either."""
    from pgpipe.embed.model import export

    def copy(*arguments: object) -> None:
        shutil.copytree(evil, arguments[-1], dirs_exist_ok=True)  # type: ignore[type-var]

    monkeypatch.setattr(export, "_export", copy)
    with pytest.raises(errors.ModelRefused, match=r"modules.json names the module 'modeling_evil.Evil'"):
        load_model(EmbeddingSettings(model=str(wheel), backend="onnx", cache_dir=tmp_path))
    assert not mark.exists()
