"""Commands and settings that are wrong, and databases that are not there: one line and the right exit code."""

import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgpipe.db import Database
from tests.conftest import Cli, Lake, Server, make_cli
from tests.flow.support import fails, load

SECRET = "hunter2"


@pytest.fixture
def url(lake: Lake) -> str:
    """A source with one entity."""
    lake.put("2026-01-01", "product", [{"id": 1, "text": "some words of prose"}])
    return lake.url


@pytest.fixture
def bare_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line with a database that is never reached."""
    return make_cli("host=/nonexistent", tmp_path, monkeypatch)


USAGE = [
    (["load", "--date", "tomorrow"], "'tomorrow' is neither `new` nor `latest` nor a date as YYYY-MM-DD"),
    (["load", "--date", "2026-02-30"], "'2026-02-30' is neither"),
    (["load", "--mode", "replace"], "'--mode'", "see `pgpipe load --help`"),
    (["load", "--jobs", "0"], "'--jobs'"),
    (["load", "--no-such-option"], "No such option"),
    (["laod"], "No such command 'laod'"),
    (["search"], "Missing argument 'QUERY'"),
    (["search", "x", "-k", "0"], "'-k'"),
    (["search", "x", "--filter", "{"], "--filter is not valid JSON: "),
    (["search", "x", "--filter", "[1]"], "--filter is a JSON object"),
    (["--config", "none.toml", "load"], "the configuration file none.toml does not exist"),
    (["--log-file", "/nonexistent/log", "status"], "--log-file /nonexistent/log cannot be written: No such file"),
]


@pytest.mark.parametrize("case", USAGE, ids=[" ".join(c[0]) for c in USAGE])
def test_a_wrong_option_is_one_line(bare_cli: Cli, url: str, case: tuple) -> None:
    """Exit code 2, and what is wrong with which."""
    arguments, *parts = case

    fails(bare_cli(*arguments, *(["--source", url] if "load" in arguments else [])), 2, *parts)


def test_no_source_is_said(bare_cli: Cli) -> None:
    """With how to give one."""
    fails(bare_cli("load"), 2, "no source: give --source s3://bucket/prefix or file:///path, or set source.url")


def test_no_date_folder(bare_cli: Cli, lake: Lake) -> None:
    """And none of the date that was asked for, and nothing in it."""
    for command in ("load", "plan", "run"):
        fails(bare_cli(command, "--source", lake.url), 3, f"{lake.url} has no date folder; expected one such as")
    (lake.path / "2026-01-01").mkdir()
    empty = f"{lake.url}: the folder of 2026-01-01 has no entity folder in it"
    fails(bare_cli("load", "--source", lake.url, "--date", "latest"), 3, empty)
    fails(bare_cli("load", "--source", lake.url, "--date", "2026-01-02"), 3, "no folder for 2026-01-02; the latest is")
    fails(bare_cli("load", "--source", f"{lake.url}/no"), 3, f"the folder {lake.path}/no does not exist")


def test_an_unknown_entity_is_named_with_those_there_are(cli: Cli, url: str) -> None:
    """In load, plan and search."""
    for command in ("load", "plan"):
        line = fails(cli(command, "--source", url, "--entity", "prodcut"), 2)
        assert line == f"pgpipe: {url} has no entity 'prodcut' on 2026-01-01; it has product"
    load(cli, url, "--key", "id")
    fails(cli("search", "words", "--entity", "prodcut"), 2, "unknown entity 'prodcut'; searchable are product")


def test_a_misspelt_setting_is_named(cli: Cli, url: str) -> None:
    """Before anything is done."""
    Path("pgpipe.toml").write_text("[entity.product]\nkeys = ['id']\n")

    line = fails(cli("load", "--source", url), 2)

    assert line == "pgpipe: pgpipe.toml: unknown setting 'entity.product.keys'; did you mean 'key'?"


@pytest.mark.parametrize(
    "where", ['{"colour": "red"}', '{"id": "one"}', '{"id": {"like": 1}}', '{"id": [1, "x"]}'], ids=str
)
def test_a_filter_that_does_not_fit_is_usage(cli: Cli, url: str, where: str) -> None:
    """A column that is not there, a value that is none of its column, a comparison there is not."""
    load(cli, url, "--key", "id")

    fails(cli("search", "words", "--filter", where), 2, "--filter: ")


def test_search_before_a_load_says_what_to_do(cli: Cli) -> None:
    """Nothing is searchable yet."""
    fails(cli("search", "words"), 2, "nothing is searchable yet; load something first: `pgpipe load --source …`")


@pytest.fixture
def empty_database(server18: Server) -> Iterator[str]:
    """A database that `pgpipe migrate` never saw."""
    name = f"empty_{uuid.uuid4().hex[:8]}"
    server18.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield server18.at(name)
    server18.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_a_database_without_schema_says_what_to_do(cli: Cli, url: str, empty_database: str) -> None:
    """Every command says to migrate, once; `plan` works without."""
    commands = [["load", "--source", url], ["diff", "--source", url], ["run", "--source", url], ["search", "x"]]
    for command in (*commands, ["status"], ["jobs", "list"], ["jobs", "retry"], ["embedder", "--drain"]):
        fails(cli("--database", empty_database, *command), 2, "`pgpipe migrate`")
    assert cli("--database", empty_database, "migrate").code == 0
    assert cli("--database", empty_database, "load", "--source", url, "--skip-embeddings").code == 0


DOWN = [
    "postgresql://u:hunter2@127.0.0.1:1/x",
    "postgresql://u:hunter2@127.0.0.1:1,127.0.0.1:2/x",
    "postgresql://u:hunter2@no-such-host.invalid/x",
    "host=/nonexistent dbname=x password=hunter2",
]


@pytest.mark.parametrize("down", DOWN)
@pytest.mark.parametrize("command", ["load", "status", "search", "migrate", "plan"])
def test_a_database_that_is_down_is_unreachable(bare_cli: Cli, url: str, down: str, command: str) -> None:
    """Exit code 3, the reason, and no password."""
    arguments = {"load": ["--source", url], "plan": ["--source", url], "search": ["x"]}.get(command, [])

    line = fails(bare_cli("--database", down, command, *arguments), 3, "the database does not answer: ")

    assert SECRET not in line
    assert any(why in line for why in ("refused", "No such file", "resolve"))


def test_a_connection_string_that_is_none(bare_cli: Cli, url: str) -> None:
    """Is not printed: who knows what is in it."""
    line = fails(
        bare_cli("--database", f"postgres//u:{SECRET}@x", "load", "--source", url),
        2,
        "database.url is not a connection",
    )

    assert SECRET not in line


@pytest.fixture
def locked(server18: Server, database: Database) -> Iterator[str]:
    """The url of a role whose password is asked for, without one."""
    role = f"locked_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(server18.url, autocommit=True) as conn:
        conn.execute(sql.SQL("create role {} login password {}").format(sql.Identifier(role), SECRET))
        hba = server18.folder / "pg_hba.conf"
        before = hba.read_text()
        hba.write_text(f"local all {role} scram-sha-256\nhost all {role} all scram-sha-256\n{before}")
        conn.execute("select pg_reload_conf()")
        yield make_conninfo(**(conninfo_to_dict(database.url) | {"user": role}))
        hba.write_text(before)
        conn.execute("select pg_reload_conf()")
        conn.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))


def test_a_wrong_password_is_said(cli: Cli, url: str, locked: str) -> None:
    """The server refused the login; the password is not repeated."""
    wrong = make_conninfo(locked, password="wr0ng")

    line = fails(cli("--database", wrong, "load", "--source", url), 3, "password authentication failed for user")

    assert "wr0ng" not in line
    fails(cli("--database", locked, "status"), 3, "no password supplied")
    # With the right one the login succeeds, and the next thing that is not allowed is named.
    fails(cli("--database", make_conninfo(locked, password=SECRET), "status"), 1, "permission denied for view")


def test_a_database_that_does_not_exist(cli: Cli, server18: Server) -> None:
    """Is named."""
    fails(cli("--database", server18.at("nowhere"), "status"), 3, 'database "nowhere" does not exist')
