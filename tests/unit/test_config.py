"""Settings: which layer wins, what a file may look like, and that no message gives a secret away."""

import json
import os
from pathlib import Path

import pytest

from pgpipe.errors import UsageError
from pgpipe.settings.sources import load_settings

SECRET = "postgresql://app:hunter2@db/app"


@pytest.fixture(autouse=True)
def nothing_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder and an environment without settings."""
    for name in os.environ:
        if name.startswith("PGPIPE_") or name in {"DATABASE_URL", "EMBEDDING_MODEL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_nothing_need_be_set() -> None:
    """Without a file and variables every setting has its default."""
    settings = load_settings()

    assert settings.source.url is None
    assert settings.database.url is None
    assert settings.embedding.model == "sentence-transformers/all-MiniLM-L6-v2"
    assert settings.for_entity("any").mode is None


def test_a_higher_layer_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Option > environment > .env > file > default, setting by setting."""
    Path("pgpipe.toml").write_text(
        "[source]\nurl = 'file:///file'\nregion = 'file'\nprofile = 'file'\nendpoint_url = 'file'\n"
    )
    Path(".env").write_text(
        "PGPIPE_SOURCE__URL=file:///dotenv\nPGPIPE_SOURCE__REGION=dotenv\nPGPIPE_SOURCE__PROFILE=dotenv\n"
    )
    monkeypatch.setenv("PGPIPE_SOURCE__URL", "file:///environment")
    monkeypatch.setenv("PGPIPE_SOURCE__REGION", "environment")

    source = load_settings(options={"source": {"url": "file:///option"}}).source

    assert (source.url, source.region, source.profile, source.endpoint_url, source.complete) == (
        "file:///option",
        "environment",
        "dotenv",
        "file",
        "any",
    )


ENTITY = {"key": ["id"], "search": {"columns": {"title": "A"}}, "embed": False}


@pytest.mark.parametrize("name", ["pgpipe.toml", "pgpipe.json", "config.json", "elsewhere.toml", "elsewhere.json"])
def test_a_file_is_toml_or_json(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual names are found; any other is named by --config or PGPIPE_CONFIG; both formats say the same."""
    toml = "[entity.product]\nkey = ['id']\nsearch = { columns = { title = 'A' } }\nembed = false\n"
    Path(name).write_text(toml if name.endswith("toml") else json.dumps({"entity": {"product": ENTITY}}))

    if name.startswith("elsewhere"):
        monkeypatch.setenv("PGPIPE_CONFIG", name)
        assert load_settings(Path(name)) == load_settings()
    product = load_settings().for_entity("product")

    assert product.key == ["id"]
    assert product.search
    assert product.search.columns == {"title": "A"}
    assert product.embed is False


def test_the_names_of_other_programs_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """DATABASE_URL and EMBEDDING_MODEL count like our own names."""
    monkeypatch.setenv("DATABASE_URL", SECRET)
    monkeypatch.setenv("EMBEDDING_MODEL", "/models/mine")

    settings = load_settings()

    assert settings.database.url == SECRET
    assert settings.embedding.model == "/models/mine"


@pytest.mark.parametrize("names", [("DATABASE_URL", "PGPIPE_DATABASE__URL"), ("PGPIPE_DATABASE__URL", "DATABASE_URL")])
def test_our_own_name_beats_the_general_one(names: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """PGPIPE_DATABASE__URL holds whichever of the two was set first."""
    for name in names:
        monkeypatch.setenv(name, f"postgresql://{name.lower()}")

    assert load_settings().database.url == "postgresql://pgpipe_database__url"


def test_an_empty_variable_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """`DATABASE_URL=` leaves the lower layer alone, as in a shell script that may not know it."""
    Path("pgpipe.toml").write_text(f"[database]\nurl = '{SECRET}'\n")
    monkeypatch.setenv("DATABASE_URL", "")
    monkeypatch.setenv("PGPIPE_SOURCE__REGION", "")

    settings = load_settings()

    assert settings.database.url == SECRET
    assert settings.source.region is None


def test_a_variable_may_hold_json(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lists, tables and numbers travel in the environment."""
    monkeypatch.setenv("PGPIPE_ENTITY__PRODUCT", json.dumps(ENTITY))
    monkeypatch.setenv("PGPIPE_ENTITY__OTHER__KEY", '["a", "b"]')
    monkeypatch.setenv("PGPIPE_LOAD__JOBS", "3")

    settings = load_settings()

    assert settings.for_entity("product").embed is False
    assert settings.for_entity("other").key == ["a", "b"]
    assert settings.load.jobs == 3


def fault(**options: object) -> str:
    """The line that a faulty configuration gives."""
    with pytest.raises(UsageError) as caught:
        load_settings(**options)
    message = str(caught.value)
    assert "\n" not in message
    assert "hunter2" not in message
    return message


@pytest.mark.parametrize(
    ("text", "name", "nearest"),
    [
        ("[sources]\nurl = 'x'", "sources", "source"),
        ("[source]\nendpont_url = 'x'", "source.endpont_url", "endpoint_url"),
        ("[database]\nuri = 'x'", "database.uri", "url"),
        ("[database]\nshcema = 'x'", "database.shcema", "schema"),
        ("[load]\njob = 2", "load.job", "jobs"),
        ("[entity.product]\nkeys = ['id']", "entity.product.keys", "key"),
        ("[entity.'a.b']\nserach = false", "entity.a.b.serach", "search"),
        ("[entity.p.search]\ncolumns = {t = 'A'}\nlangauge = 'x'", "entity.p.search.langauge", "language"),
        ("[entity.p.embed]\ncolumns = ['t']\ntemplat = 'x'", "entity.p.embed.templat", "template"),
    ],
)
def test_a_misspelt_setting_is_named_with_the_nearest(text: str, name: str, nearest: str) -> None:
    """At every level: the file, the setting as written, and what was probably meant."""
    Path("pgpipe.toml").write_text(text)

    assert fault() == f"pgpipe.toml: unknown setting {name!r}; did you mean {nearest!r}?"


def test_a_name_like_no_other_gets_the_list() -> None:
    """Where nothing is near, all settings of that table are named."""
    Path("pgpipe.toml").write_text("[load]\nxyzzy = 1\n")

    names = "check_timeout, checks, hash_key, jobs, lock_wait, max_changed, max_deleted, min_rows, skip"
    assert fault() == f"pgpipe.toml: unknown setting 'load.xyzzy'; choose from {names}"


@pytest.mark.parametrize("origin", [".env", "the environment", "the options"])
def test_every_layer_is_named(origin: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt variable or option is found where it was written."""
    options = {}
    if origin == ".env":
        Path(".env").write_text("PGPIPE_SOURCE__REGOIN=x\n")
    elif origin == "the environment":
        monkeypatch.setenv("PGPIPE_SOURCE__REGOIN", "x")
    else:
        options = {"options": {"source": {"regoin": "x"}}}

    assert fault(**options) == f"{origin}: unknown setting 'source.regoin'; did you mean 'region'?"


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("[load]\njobs = 'many'", "pgpipe.toml: load.jobs: "),
        ("[load]\njobs = 0", "pgpipe.toml: load.jobs: "),
        ("[source]\ncomplete = 'age:soon'", "pgpipe.toml: source.complete: is one of any, _SUCCESS, age:10m"),
        ("[source]\naddressing_style = 'x'", "pgpipe.toml: source.addressing_style: "),
        ("[entity.p]\nmode = 'replace'", "pgpipe.toml: entity.p.mode: "),
        ("[entity.p]\nkey = 'id'", "pgpipe.toml: entity.p.key: "),
        ("[entity.p]\nkey = [1]", "pgpipe.toml: entity.p.key.0: "),
        ("[entity.p.search]\ncolumns = {t = 'E'}", "pgpipe.toml: entity.p.search.columns.t: "),
        ("[entity.p.search]\nlanguage = 'english'", "pgpipe.toml: entity.p.search.columns: field required"),
        ("[entity.p]\nsearch = true", "pgpipe.toml: entity.p.search: "),
        ("[entity.p]\nembed = {columns = []}", "pgpipe.toml: entity.p.embed.columns: "),
        (f"database = '{SECRET}'", "pgpipe.toml: database is a table of settings"),
        (f"[database]\nurl = ['{SECRET}']", "pgpipe.toml: database.url: "),
        (f"[database.url]\nx = '{SECRET}'", "pgpipe.toml: database.url: "),
        (f"[entity]\np = '{SECRET}'", "pgpipe.toml: entity.p: "),
    ],
)
def test_a_wrong_value_is_named(text: str, start: str) -> None:
    """The line says which setting and what it must be, and never shows the value, which may be a secret."""
    Path("pgpipe.toml").write_text(text)

    assert fault().startswith(start)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.toml", f"url = '{SECRET}'\n[source\n".encode()),
        ("x.toml", b"\xff\xfe"),
        ("x.json", f'{{"database": {{"url": "{SECRET}"'.encode()),
        ("x.json", b'["a"]'),
        ("x.json", b'"a"'),
    ],
)
def test_an_unreadable_file_is_named(name: str, content: bytes) -> None:
    """Neither TOML nor JSON, or no table at its top."""
    Path(name).write_bytes(content)

    assert fault(file=Path(name)).startswith("x.")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file asked for by name must be there; a folder is none."""
    assert fault(file=Path("no.toml")) == "the configuration file no.toml does not exist"
    assert fault(file=tmp_path).startswith(f"{tmp_path} cannot be read: ")


def test_a_variable_that_is_both_text_and_table_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """PGPIPE_DATABASE cannot be a text while PGPIPE_DATABASE__URL makes it a table."""
    monkeypatch.setenv("PGPIPE_DATABASE", SECRET)
    monkeypatch.setenv("PGPIPE_DATABASE__URL", SECRET)

    assert fault() == "the environment: database is a table of settings, not a single value"
