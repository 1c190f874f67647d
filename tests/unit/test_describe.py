"""The settings described: origins, masks, the commented file, the schema; each made from the model itself."""

import json
import os
import re
import tomllib
from pathlib import Path

import jsonschema
import pytest

from pgpipe.settings import describe
from pgpipe.settings.backend import ModelSettings
from pgpipe.settings.entity import EntitySettings, Section
from pgpipe.settings.model import Settings
from pgpipe.settings.sources import load_settings, read_layers
from tests.conftest import Cli, make_cli

SECRET = "postgresql://app:hunter2@db/app"
UNSET = re.compile(r"^#(?=[^ ])", re.MULTILINE)  # before a setting that is switched off; prose has a space


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty folder and an environment without settings."""
    for name in os.environ:
        if name.startswith("PGPIPE_") or name in {"DATABASE_URL", "EMBEDDING_MODEL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bare_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line; nothing here reaches a database."""
    cli = make_cli("unused", tmp_path, monkeypatch)
    monkeypatch.delenv("DATABASE_URL")
    return cli


def origin(name: str, options: dict | None = None) -> tuple:
    """Value and origin of a setting."""
    return next((s.value, s.origin) for s in describe.effective(read_layers(None, options)) if s.name == name)


def test_each_layer_beats_those_below_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Default < file < .env < environment < option: laid on one after the other, each wins and is named."""
    name = "database.url"
    assert origin(name) == (None, "default")
    Path("pgpipe.toml").write_text("[database]\nurl = 'service=file'\n")
    assert origin(name) == ("service=file", "pgpipe.toml")
    Path(".env").write_text("DATABASE_URL=service=dotenv\n")
    assert origin(name) == ("service=dotenv", ".env (DATABASE_URL)")
    monkeypatch.setenv("DATABASE_URL", "service=environment")
    assert origin(name) == ("service=environment", "the environment (DATABASE_URL)")
    monkeypatch.setenv("PGPIPE_DATABASE__URL", "service=own")
    assert origin(name) == ("service=own", "the environment (PGPIPE_DATABASE__URL)")
    assert origin(name, {"database": {"url": "service=option"}}) == ("service=option", "the options")
    assert load_settings(options={"database": {"url": "service=option"}}).database.url == "service=option"


def test_a_table_in_a_variable_is_an_origin_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting within JSON is of the variable that holds the JSON."""
    monkeypatch.setenv("PGPIPE_ENTITY__PRODUCT", json.dumps({"key": ["id"], "search": {"columns": {"t": "A"}}}))

    assert origin("entity.product.key") == (["id"], "the environment (PGPIPE_ENTITY__PRODUCT)")
    assert origin("entity.product.search.columns") == ({"t": "A"}, "the environment (PGPIPE_ENTITY__PRODUCT)")
    assert origin("entity.product.search.language") == ("english", "default")


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        "postgresql://app:hun@ter2@db/app",
        "host=db password=hunter2 dbname=app",
        "host=db password='hun ter2' dbname=app",
        "postgresql://db/app?user=app&password=hunter2",
        "postgresql://db/app?sslpassword=hunter2",
    ],
)
def test_secrets_are_masked(bare_cli: Cli, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """`config show` prints a connection string without its password, in every form that libpq takes."""
    monkeypatch.setenv("DATABASE_URL", url)
    shown, as_json = bare_cli("config", "show"), bare_cli("config", "show", "--json")

    assert (shown.code, as_json.code) == (0, 0)
    for result in (shown, as_json):
        assert "***" in result.out
        assert "ter2" not in result.out
    assert "db" in origin("database.url")[0]


def test_show_as_json(bare_cli: Cli) -> None:
    """A list with name, value, origin and description of every setting; options are the top layer."""
    settings = json.loads(bare_cli("--database", "service=option", "config", "show", "--json").out)

    assert {"name", "value", "origin", "description"} == set(settings[0])
    found = {s["name"]: s for s in settings}
    assert (found["database.url"]["value"], found["database.url"]["origin"]) == ("service=option", "the options")
    assert all(s["description"] for s in settings)


def test_check_names_every_fault(bare_cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them, a line each, with the nearest known name; exit code 2."""
    Path("pgpipe.toml").write_text(
        "[source]\nulr = 's3://a'\n[load]\njobs = 0\n[entity.p]\nkeys = ['id']\nsearch = { columns = { t = 'E' } }\n"
    )
    monkeypatch.setenv("PGPIPE_EMBEDDING__BACKND", "onnx")

    result = bare_cli("config", "check")

    assert result.code == 2
    lines = result.out.splitlines()
    assert "pgpipe.toml: unknown setting 'source.ulr'; did you mean 'url'?" in lines
    assert "pgpipe.toml: unknown setting 'entity.p.keys'; did you mean 'key'?" in lines
    assert "the environment: unknown setting 'embedding.backnd'; did you mean 'backend'?" in lines
    assert any(line.startswith("pgpipe.toml: load.jobs: ") for line in lines)
    assert any(line.startswith("pgpipe.toml: entity.p.search.columns.t: ") for line in lines)
    assert len(lines) == 5
    assert json.loads(bare_cli("config", "check", "--json").out) == lines


def test_check_of_what_is_right(bare_cli: Cli) -> None:
    """Says what was read."""
    assert bare_cli("config", "check").out == "Nothing is set; the defaults hold.\n"
    Path("pgpipe.toml").write_text("[load]\njobs = 2\n")

    assert bare_cli("config", "check").out == "Nothing is wrong in pgpipe.toml.\n"


def test_the_file_that_init_writes_is_loaded(bare_cli: Cli) -> None:
    """As written it sets the source alone; with every setting switched on it still holds, and none is missing."""
    assert bare_cli("init", "--source", "s3://bucket/drops").code == 0
    written = Path("pgpipe.toml").read_text()
    assert load_settings() == load_settings(options={"source": {"url": "s3://bucket/drops"}})
    assert bare_cli("config", "check").code == 0

    Path("pgpipe.toml").write_text(UNSET.sub("", written))
    assert bare_cli("config", "check").out == "Nothing is wrong in pgpipe.toml.\n"
    everything = tomllib.loads(Path("pgpipe.toml").read_text())
    for section, name in ((Settings, ()), (EntitySettings, ("entity", "product"))):
        table = everything
        for part in name:
            table = table[part]
        assert set(table) == {f.alias or n for n, f in section.model_fields.items()}


def test_init_overwrites_only_when_told(bare_cli: Cli) -> None:
    """A file that is there stays."""
    Path("pgpipe.toml").write_text("mine")

    refused = bare_cli("init")

    assert (refused.code, refused.err) == (2, "pgpipe: pgpipe.toml is there already; --force overwrites it\n")
    assert Path("pgpipe.toml").read_text() == "mine"
    assert bare_cli("init", "--force").code == 0
    assert bare_cli("init", "/nonexistent/pgpipe.toml").code == 2


def test_every_setting_has_a_type_a_description_and_a_value_to_show() -> None:
    """Of every table of the model."""
    for section in (*Section.__subclasses__(), *ModelSettings.__subclasses__()):
        for name, field in section.model_fields.items():
            assert field.description, f"{section.__name__}.{name} has no description"


def test_the_schema_tells_right_from_wrong(bare_cli: Cli) -> None:
    """An editor that checks by it accepts the written file with everything on, and refuses a misspelt name."""
    schema = json.loads(bare_cli("config", "schema").out)
    jsonschema.Draft202012Validator.check_schema(schema)
    whole = tomllib.loads(UNSET.sub("", describe.commented_file({})))

    jsonschema.validate(whole, schema)
    for wrong in ({"source": {"ulr": "x"}}, {"load": {"jobs": 0}}, {"entity": {"p": {"mode": "replace"}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)
