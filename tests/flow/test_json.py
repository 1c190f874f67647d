"""docs/json.md: every command with --json prints what its schema says, and the page is made of that schema."""

import json
import runpy
from pathlib import Path
from typing import Any

import click
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from pgpipe.cli.app import cli as root
from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.test_embedding_cli import ready  # noqa: F401 - a fixture

DOCS = Path(__file__).parents[2] / "docs"
SCHEMA = json.loads((DOCS / "json.schema.json").read_text())


def commands(command: click.Command, path: str = "") -> dict[str, click.Command]:
    """All commands below one, by path."""
    if not isinstance(command, click.Group):
        return {path: command}
    context = click.Context(command)
    below = {name: command.get_command(context, name) for name in command.list_commands(context)}
    found = {f"{path} {name}".strip(): inner for name, inner in below.items() if inner}
    return {p: c for name, inner in found.items() for p, c in commands(inner, name).items()}


def has_json(command: click.Command) -> bool:
    return any("--json" in option.opts for option in command.params)


def check(cli: Cli, command: str, *arguments: str, code: int = 0) -> Any:
    """Run a command with --json and hold what it prints to its schema."""
    result = cli(*command.split(), *arguments, "--json")
    assert result.code == code, result.err
    found = json.loads(result.out)
    shape = {"$ref": f"#/$defs/{command}", "$defs": SCHEMA["$defs"]}
    Draft202012Validator(shape, format_checker=FormatChecker()).validate(found)
    return found


def test_each_command_has_a_schema() -> None:
    """No command with --json lacks one, and none is for a command that is gone."""
    known = {path for path, command in commands(root).items() if has_json(command)}

    assert set(SCHEMA["$defs"]) - {"report"} == known
    Draft202012Validator.check_schema(SCHEMA)


def test_the_page_is_made_of_the_schema() -> None:
    """`make docs` would change nothing."""
    page = runpy.run_path(str(DOCS / "json_page.py"))["json_page"]()

    assert (DOCS / "json.md").read_text() == page, "make docs"


def test_what_loads_print(cli: Cli, lake: Lake, tmp_path: Path) -> None:
    """A plan of each kind, a diff with samples and a gate, a load that succeeds and one that fails, and a status."""
    source = ("--source", lake.url)
    rows = [{"id": n, "title": f"title {n} " * 3, "price": n / 4} for n in range(6)]
    lake.put("2026-01-01", "doc", rows)
    assert check(cli, "plan", *source)[0]["proposed_key"]["columns"] == ["id"]
    key = (*source, "--key", "id")
    check(cli, "plan", *key)
    assert check(cli, "load", *key)["exit_code"] == 0
    lake.put("2026-01-02", "doc", [row | {"price": "x", "more": 1} for row in rows])
    assert "refused" in check(cli, "plan", *key, code=1)[0]
    assert check(cli, "run", *key, code=1)["stages"][0]["state"] == "failed"
    lake.put("2026-01-02", "doc", [row | {"price": 7.0, "more": 1} for row in rows[:1]])
    assert check(cli, "plan", *key)[0]["new_columns"] == {"more": "bigint"}
    (tmp_path / "pgpipe.toml").write_text('[entity.doc.checks]\n"price < 0" = "error"\n', encoding="utf-8")
    found = check(cli, "diff", *key, "--mode", "snapshot", "--rows", "2", code=1)[0]
    assert found["samples"]
    assert found["gates"]
    assert check(cli, "search", "title", "--entity", "doc", "--mode", "text")
    assert check(cli, "facets", "title", "price", "--entity", "doc")["total"]["rows"] == 6
    (tmp_path / "synonyms.txt").write_text("title, heading", encoding="utf-8")
    assert cli("synonyms", "import", "synonyms.txt").code == 0
    assert check(cli, "synonyms list")
    twice = check(cli, "search", "title", "--entity", "doc", "--entity", "public.doc", "--mode", "text")
    assert {hit["entity"] for hit in twice} == {"doc"}
    assert {hit["key"]["id"] for hit in check(cli, "similar", '{"id": 1}', "--entity", "doc")} == {0, 2, 3, 4, 5}
    assert cli("roles").code == 0
    assert check(cli, "tokens create", "shop", "--entity", "doc")["token"].startswith("pgpipe_")
    assert check(cli, "tokens list")[0]["entities"] == ["public.doc"]
    assert check(cli, "status")["loads"][0]["date"] == "2026-01-01"
    check(cli, "doctor", *source, "--skip-model")


def test_what_embeddings_print(ready: Cli, database: Database, tmp_path: Path) -> None:  # noqa: F811 - a fixture
    """Lists, drift, reconcile and failed jobs, with numbers as numbers, times as ISO 8601 and durations in seconds."""
    with database.connect(autocommit=True) as conn:
        conn.execute("update doc set title = 'x' where id < 3")
        conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
        conn.execute(
            "update pgpipe.job set attempts = 9, last_error = 'no', dead_at = now(), visible_at = 'infinity'"
            " where key = '{\"id\": 1}'"
        )

    judged = [f"title {n}\t{n}\t1" for n in range(3, 15)]
    (tmp_path / "judged.tsv").write_text("\n".join(judged), encoding="utf-8")
    measured = check(ready, "evaluate", "judged.tsv", "--compare", "default", "default")
    assert [each["mode"] for each in measured["modes"]] == ["vector", "vector", "hybrid", "hybrid"]
    assert check(ready, "evaluate", "judged.tsv", "--tune")["tuned"]["fitted"] == 6
    assert check(ready, "jobs list")[0]["key"] == {"id": 1}
    assert check(ready, "embedding list")[0]["jobs"] == 2
    assert check(ready, "embedding drift", "doc")[0]["rows"] == 30
    assert check(ready, "reconcile")[0]["examined"] == 30
    (embedding,) = check(ready, "status")["embeddings"]
    assert 0 <= embedding["oldest_age"] < 600
    assert embedding["swept_at"].endswith("+00:00")


def test_what_settings_print(cli: Cli, tmp_path: Path) -> None:
    """What holds, and each fault of a file."""
    assert check(cli, "config show")
    (tmp_path / "pgpipe.toml").write_text("[load]\njops = 3\n", encoding="utf-8")

    assert "load.jops" in check(cli, "config check", code=2)[0]


@pytest.mark.parametrize("name", [n for n in SCHEMA["$defs"] if "$ref" not in SCHEMA["$defs"][n]])
def test_every_field_is_described(name: str) -> None:
    """Each has a meaning, and objects allow nothing that is not listed, but those whose names are the user's."""

    def walk(shape: dict[str, Any]) -> None:
        assert shape.get("description") or "$ref" in shape or set(shape) <= {"type", "format"}, shape
        if "properties" in shape:
            assert shape["additionalProperties"] is False
        for inner in [*shape.get("properties", {}).values(), *([shape["items"]] if "items" in shape else [])]:
            walk(inner)

    walk(SCHEMA["$defs"][name])
