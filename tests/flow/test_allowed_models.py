"""Which models a database may name, and which may run code."""

from pathlib import Path

import pytest

from pgpipe import errors
from pgpipe.embed.model.base import load_model
from pgpipe.settings.model import DEFAULT_MODEL, EmbeddingSettings
from tests.flow.test_hostile_model import evil, mark
from tests.flow.test_model_location import wheel

__all__ = ["evil", "mark", "wheel"]  # fixtures


@pytest.mark.model
def test_the_machine_may_trust_a_model(tmp_path: Path, evil: Path, mark: Path) -> None:
    """K3: the machine's own configuration, and nothing else, lets a model run its Python."""
    own = EmbeddingSettings(trust_remote_code=(str(evil),), cache_dir=tmp_path)

    assert load_model(own.for_model(str(evil))).dims == 384
    assert mark.exists()


ALLOWED = [
    ((), DEFAULT_MODEL, True),
    ((), "all-MiniLM-L6-v2", True),  # the same without its owner
    ((), "own/model", True),  # of embedding.model
    ((), "sentence-transformers/other", False),
    (("sentence-transformers/*",), "sentence-transformers/other", True),
    (("sentence-transformers/*",), "other", True),
    (("sentence-transformers/*",), "sentence-transformers/../evil", False),
    (("sentence-transformers/*",), "sentence-transformers/a/b", False),
    (("sentence-transformers/*",), "sentence-transformers/here", False),  # a folder of this machine
    (("*",), "acme/any", True),
    (("*",), "/tmp/evil", False),
    (("*",), "./evil", False),
    (("*",), "~/evil", False),
    (("*",), "..", False),
    (("*",), "a/b\n", False),
    (("/srv/models/*",), "/srv/models/evil", False),  # folders are listed as they are
    (("/srv/models/good",), "/srv/models/good", True),
    (("/srv/models/good",), "/srv/models/good/../evil", False),
]


@pytest.mark.parametrize(("models", "name", "allowed"), ALLOWED)
def test_which_models_a_database_may_name(
    models: tuple[str, ...], name: str, allowed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """K3: the default model, the machine's own and those it lists; a pattern stands for names of the hub alone."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sentence-transformers" / "here").mkdir(parents=True)
    settings = EmbeddingSettings(model="own/model", models=models)

    assert settings.allows(name) is allowed
    if not allowed:
        with pytest.raises(errors.ModelRefused, match=r"add it to embedding.models"):
            settings.for_model(name)
