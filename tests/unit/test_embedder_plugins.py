"""Backends that a package brings, by the entry point group pgpipe.embedders."""

from pathlib import Path

import numpy as np
import pytest

from pgpipe import errors
from pgpipe.embed.model.base import load_model
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.settings.sources import load_settings

MODULE = '''
import numpy as np


class Shouting:
    """All that a backend needs."""

    def __init__(self, settings):
        self.name = settings.model
        self.dims = 2

    def split(self, text, size=None, overlap=0):
        return [(0, len(text))]

    def encode(self, texts):
        return np.array([[text.isupper(), not text.isupper()] for text in texts], np.float32)
'''
ENTRY_POINTS = """
[pgpipe.embedders]
shouting = shouting_backend:Shouting
broken = nowhere_to_be_found:Model
"""


@pytest.fixture(autouse=True)
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with a backend that works and one that does not."""
    (tmp_path / "shouting_backend.py").write_text(MODULE)
    info = tmp_path / "shouting_backend-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting-backend\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)


def test_a_registered_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its name is a value of embedding.backend like ours, and what it names is called with the settings."""
    monkeypatch.setenv("PGPIPE_EMBEDDING__BACKEND", "shouting")

    model = load_model(load_settings().embedding.model_copy(update={"model": "loud"}))

    assert (model.name, model.dims) == ("loud", 2)
    assert np.array_equal(model.encode(["A", "b"]), [[1, 0], [0, 1]])


def test_a_backend_that_does_not_import() -> None:
    """The error names the package's promise and what became of it."""
    with pytest.raises(
        errors.ModelError, match=r"'broken' \(nowhere_to_be_found:Model\) cannot be imported: No module"
    ):
        load_model(EmbeddingSettings(backend="broken"))


def test_a_backend_that_nobody_brings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refused when the settings are read, with those that there are."""
    monkeypatch.setenv("PGPIPE_EMBEDDING__BACKEND", "onyx")

    with pytest.raises(
        errors.UsageError, match=r"embedding.backend: unknown backend 'onyx'; the backends are broken, http,"
    ):
        load_settings()
