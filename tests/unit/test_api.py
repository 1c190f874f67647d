"""What `import pgpipe` offers."""

import subprocess
import sys

import numpy as np
import pytest

from pgpipe.api import question_vector
from pgpipe.errors import UsageError
from pgpipe.searching.ask import Searchable
from pgpipe.settings.model import EmbeddingSettings


def python(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python of its own, as a user's program would."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_the_public_names_are_there() -> None:
    """Each is imported on first use; another one is an AttributeError."""
    done = python(
        "import pgpipe\n"
        "assert callable(pgpipe.search) and callable(pgpipe.Pipeline) and callable(pgpipe.Hit)\n"
        "from pgpipe import Hit, Pipeline, search\n"
        "assert not hasattr(pgpipe, 'nonsense')\n"
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_search_stays_a_function() -> None:
    """However often it is asked for, and whatever was imported before."""
    done = python("import pgpipe\nfor _ in range(2):\n    assert callable(pgpipe.search), pgpipe.search")

    assert (done.returncode, done.stderr) == (0, "")


class Flat:
    """A model of three dimensions."""

    name = "flat"
    dims = 3

    def split(self, text: str) -> list[tuple[int, int]]:
        """One piece."""
        return [(0, len(text))]

    def encode(self, texts: list[str]) -> np.ndarray:
        """The same for every text."""
        return np.full((len(texts), self.dims), 0.5, dtype=np.float32)


@pytest.mark.parametrize("dims", [2, 4, 384])
def test_a_model_of_other_dimensions_is_refused(dims: int) -> None:
    """The store names the model; what is here under that name must make vectors like the store's."""
    target = Searchable(1, "public", "product", searched=True, embedding="default", model="flat", dims=dims)

    with pytest.raises(UsageError, match=f"product have {dims} dimensions.*'flat' on this machine makes 3"):
        question_vector("x", target, EmbeddingSettings(model="flat"), lambda _settings: Flat())


def test_the_model_is_the_stores() -> None:
    """Whatever the configuration names: a question is read by the model that filled the store."""
    asked: list[str] = []
    target = Searchable(1, "public", "product", searched=True, embedding="default", model="flat", dims=3)

    def load(settings: EmbeddingSettings) -> Flat:
        asked.append(settings.model)
        return Flat()

    assert question_vector("x", target, EmbeddingSettings(model="another", models=("flat",)), load) == [0.5, 0.5, 0.5]
    assert asked == ["flat"]
