"""Several sources in one configuration."""

import json
from pathlib import Path

import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import fails, rows


def configure(tmp_path: Path, **sources: str) -> None:
    """The sources, each with lines of its own."""
    tables = [f"[source.{name}]\n{lines}\n" for name, lines in sources.items()]
    (tmp_path / "pgpipe.toml").write_text("".join(tables))


def test_one_that_is_down_stops_no_other(
    database: Database, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 13: [source.shop] and [source.crm] are loaded in one run; the exit code says that one failed."""
    shop, crm = Lake(tmp_path / "shop"), Lake(tmp_path / "crm")
    shop.put("2026-11-20", "product", [{"id": 1}])
    crm.put("person", "dt=2026-11-21", [{"id": 2}])
    configure(tmp_path, shop=f'url = "{shop.url}"', crm='profile = "crm"', gone='url = "file:///nowhere"')
    monkeypatch.setenv("PGPIPE_SOURCE__CRM__URL", crm.url)

    planned = cli("plan", "--json")
    of_one = cli("plan", "--json", "--entity", "person")
    compared = cli("diff", "--json")
    examined = cli("doctor", "--skip-model").out
    made = [cli("scaffold", entity, "--folder", "-") for entity in ("person", "nobody")]
    done = cli("load", "--json", "--skip-embeddings")

    assert 'create table "public"."person" (' in made[0].out
    fails(made[1], 2, "no source has the entity 'nobody'")
    assert [entry["entity"] for entry in json.loads(planned.out)] == ["product", "person"]
    assert "source.gone: the folder /nowhere does not exist" in planned.err
    assert [entry["entity"] for entry in json.loads(of_one.out)] == ["person"]
    assert "has no entity" not in of_one.err
    assert [(entry["entity"], entry["inserted"]) for entry in json.loads(compared.out)] == [
        ("product", 1),
        ("person", 1),
    ]
    assert "source.gone: the folder /nowhere does not exist" in compared.err
    assert all(name in examined for name in ("source.shop", "source.crm", "source.gone"))
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert "source.gone: the folder /nowhere does not exist" in done.err
    assert rows(database, "select product.id, person.id from product, person") == [(1, 2)]
    states = {(s["entity"], s["stage"]): s["state"] for s in json.loads(done.out)["stages"]}
    assert states["source.gone", "source"] == "failed"
    assert "source.crm.url" in cli("config", "show").out


def test_two_that_bring_one_entity(database: Database, cli: Cli, tmp_path: Path) -> None:
    """Neither is loaded until each names its entities."""
    one, two = Lake(tmp_path / "one"), Lake(tmp_path / "two")
    for lake, number in ((one, 1), (two, 2)):
        lake.put("2026-11-20", "product", [{"id": number}])
        lake.put("2026-11-20", "review", [{"id": number}])
    configure(tmp_path, one=f'url = "{one.url}"', two=f'url = "{two.url}"')

    failed = cli("load", "--skip-embeddings")

    assert failed.code != 0
    assert "source.one and source.two both bring 'product'" in cli("plan").err
    assert "source.one and source.two both bring 'product'" in failed.err
    configure(
        tmp_path,
        one=f'url = "{one.url}"\nentities = ["product"]',
        two=f'url = "{two.url}"\nentities = ["review"]',
    )
    assert cli("load", "--skip-embeddings").code == 0
    assert rows(database, "select product.id, review.id from product, review") == [(1, 2)]
    configure(tmp_path, one='entities = ["product"]', two='entities = ["product"]')
    fails(cli("load"), 2, "pgpipe.toml: source: one and two both name the entity 'product'; leave it to one")


def test_a_misspelt_setting_of_a_source(cli: Cli, tmp_path: Path) -> None:
    """It is named with the source."""
    configure(tmp_path, one='ulr = "file:///"')
    fails(cli("load"), 2, "unknown setting 'source.one.ulr'; did you mean 'url'?")
