"""Names: whatever PostgreSQL can keep works everywhere; what it would not keep as it is, is refused by name."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pgpipe.db import Database
from pgpipe.target import label
from tests.conftest import Cli, Lake
from tests.fixtures.examples import one_in
from tests.flow.support import counts, fails, load, rows, table

NAMES = ["Order", "select", 'naïve "quote"', "a.b", "it's", "%s %(x)s :y", "back\\slash", "Ünïcode 表"]


def configure(name: str) -> None:
    """The name as entity, key, search and input column."""
    entity = {"key": [name], "search": {"columns": {f"{name} text": "A"}}, "embed": {"columns": [f"{name} text", name]}}
    Path("pgpipe.json").write_text(json.dumps({"entity": {name: entity}}))


@pytest.mark.parametrize("name", one_in(2, NAMES))
def test_any_name_works_everywhere(cli: Cli, lake: Lake, database: Database, name: str) -> None:
    """As entity, as key, as searched and as embedded column, through two loads, a search and the status."""
    configure(name)
    lake.put("2026-01-01", name, [{name: 1, f"{name} text": "green apples"}, {name: 2, f"{name} text": "old pears"}])
    lake.put(
        "2026-01-02", name, [{name: 1, f"{name} text": "red apples", f"{name} new": 5}, {name: 3, f"{name} text": "x"}]
    )
    first = load(cli, lake.url, "--date", "2026-01-01", embed=True)

    second = load(cli, lake.url, "--mode", "snapshot", embed=True)

    assert counts(first[name, "import"]) == (2, 0, 0, 0)
    assert counts(second[name, "import"]) == (1, 1, 1, 0)
    assert table(database, name, name) == {
        1: {name: 1, f"{name} text": "red apples", f"{name} new": 5},
        3: {name: 3, f"{name} text": "x", f"{name} new": None},
    }
    found = json.loads(cli("search", "apples", "--mode", "text", "--entity", name, "--json").out)
    assert [(hit["key"], hit["passage"]) for hit in found] == [({name: 1}, "red <b>apples</b>")]
    filtered = cli("search", "apples", "--mode", "text", "--filter", json.dumps({name: [2, 3]}), "--json")
    assert (filtered.code, json.loads(filtered.out)) == (0, [])
    assert sorted(rows(database, "select key from pgpipe.job"), key=str) == [({name: n},) for n in (1, 2, 3)]
    status = json.loads(cli("status", "--json").out)
    shown = label("public", name, home="public")  # a dot would be taken for that between schema and name
    assert [(e["entity"], e["waiting"]) for e in status["embeddings"]] == [
        (shown, 3)
    ]  # the vectors of the row that is gone wait too
    assert [(x["entity"], x["state"]) for x in status["loads"]] == [(shown, "done")]
    assert cli("status").code == cli("jobs", "list").code == 0
    again = load(cli, lake.url, "--mode", "snapshot", embed=True)
    assert again[name, "import"]["state"] == "nothing to do"


def test_the_key_option_takes_names_as_they_are(cli: Cli, lake: Lake, database: Database) -> None:
    """Columns are separated by commas; upper case, blanks and quotes in them stay."""
    lake.put("2026-01-01", "t", [{"The Order": 1, 'a"b': 2, "v": 3}])

    load(cli, lake.url, "--key", 'The Order,a"b')

    assert rows(database, "select pgpipe_internal.key_columns('t')") == [(["The Order", 'a"b'],)]


LONG = "ä" * 31 + "x"  # 63 bytes: the longest there is


def test_the_longest_name_works(cli: Cli, lake: Lake, database: Database) -> None:
    """63 bytes, and what pgpipe derives from it stays apart from what it derives from its neighbour."""
    config = {"key": ["id"], "search": {"columns": {LONG: "A"}}, "embed": {"columns": [LONG]}}
    other = LONG[:-1] + "y"
    Path("pgpipe.json").write_text(json.dumps({"entity": {LONG: config, other: config}}))
    for name in (LONG, other):
        lake.put("2026-01-01", name, [{"id": 1, LONG: f"words of {name}"}])

    load(cli, lake.url, embed=True)

    for name in (LONG, other):
        assert table(database, name, "id") == {1: {"id": 1, LONG: f"words of {name}"}}
    assert rows(database, "select count(*), count(distinct store) from pgpipe.embedding") == [(2, 2)]


@pytest.mark.parametrize("what", ["entity", "column"])
def test_names_that_would_be_cut_are_refused(cli: Cli, lake: Lake, database: Database, what: str) -> None:
    """Two that agree in their first 63 bytes would become one: each is named; what else there is, is loaded."""
    one, two = "n" * 63 + "1", "n" * 63 + "2"
    if what == "entity":
        for name in (one, two):
            lake.put("2026-01-01", name, [{"id": 1}])
    else:
        lake.put("2026-01-01", "bad", [{"id": 1, one: 1, two: 2}])
    lake.put("2026-01-01", "good", [{"id": 1}])

    result = cli("load", "--source", lake.url, "--key", "id", "--skip-embeddings", "--json")

    lines = result.err.splitlines()
    assert result.code == 1
    assert len(lines) == (2 if what == "entity" else 1)
    for name, line in zip((one, two), lines, strict=False):
        assert f"the {what} name '{name}' has 64 bytes; PostgreSQL keeps 63" in line
    assert table(database, "good", "id") == {1: {"id": 1}}
    assert rows(database, "select count(*) from pg_class where relname like 'nnn%' or relname = 'bad'") == [(0,)]


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["id", ""], "a column is named '', which PostgreSQL does not allow"),
        (["id", "a\0b"], "a column is named 'a\\x00b', which PostgreSQL does not allow"),
        (["id", "ctid"], "a column is named 'ctid', which PostgreSQL keeps for itself"),
        (["id", "xmin"], "a column is named 'xmin', which PostgreSQL keeps for itself"),
        (["id", "a", "a"], "has two columns named 'a'"),
    ],
    ids=str,
)
def test_a_column_that_cannot_be_is_refused(cli: Cli, lake: Lake, names: list[str], part: str) -> None:
    """One line with the file and the name."""
    lake.put("2026-01-01", "t", pa.table([[1]] * len(names), names=names))

    fails(cli("load", "--source", lake.url, "--key", "id", "--json"), 1, "pgpipe: t: ", "t/part-0.parquet", part)


@pytest.mark.parametrize("name", [b"te\xff\xfe", b"t\xed\xa0\x80"])
def test_a_column_name_that_is_not_utf8(cli: Cli, lake: Lake, name: bytes) -> None:
    """L17: it is one line for its entity, in `plan` and `load`; the other entities are planned and loaded."""
    file = lake.put("2026-01-01", "bad", pa.table({"id": [1], "texX": ["a"]}))
    file.write_bytes(file.read_bytes().replace(b"texX", name))
    lake.put("2026-01-01", "good", pa.table({"id": [1]}))

    for command in ("plan", "load"):
        line = f"pgpipe: bad: file://{file} has a column whose name is not UTF-8: '{str(name)[2:]}; rename it"
        result = cli(command, "--source", lake.url, "--json", "--skip-search", "--skip-embeddings")
        fails(result, 1, line.removeprefix("pgpipe: bad: "))
        assert "good" in result.out


def test_a_file_without_columns_is_refused(cli: Cli, lake: Lake) -> None:
    """There is nothing to make a table of."""
    file = lake.path / "2026-01-01/t/a.parquet"
    file.parent.mkdir(parents=True)
    pq.write_table(pa.table({}), file)

    fails(cli("load", "--source", lake.url, "--json"), 1, "t/a.parquet has no columns")


@pytest.mark.parametrize("when", ["first", "later"])
def test_a_column_named_search(cli: Cli, lake: Lake, database: Database, when: str) -> None:
    """Meets the search column: the line says how to give that another name, and with it all works."""
    lake.put("2026-01-01", "t", [{"id": 1, "text": "some words of prose"}])
    if when == "later":
        load(cli, lake.url, "--key", "id")
    lake.put("2026-01-02", "t", [{"id": 1, "text": "some words of prose", "search": "mine"}])

    result = cli("load", "--source", lake.url, "--key", "id", "--skip-embeddings", "--json")

    fails(result, 1, "pgpipe: t: ", "search", "column_name")
    if when == "first":
        Path("pgpipe.toml").write_text(
            "[entity.t]\nkey = ['id']\nsearch = { columns = { text = 'A' }, column_name = 'words' }\n"
        )
        load(cli, lake.url)
        assert rows(database, "select search, words::text from t") == [("mine", "'prose':4A 'word':2A")]


def test_a_column_named_pgpipe_row(cli: Cli, lake: Lake) -> None:
    """Is what rows without a key are numbered by; with a key it is a column like any other."""
    lake.put("2026-01-01", "t", [{"id": 1, "pgpipe_row": 5}])

    fails(cli("load", "--source", lake.url, "--json"), 1, "t: ", "the column name 'pgpipe_row' is taken")
    load(cli, lake.url, "--key", "id")


def test_names_that_others_have_taken(cli: Cli, lake: Lake, database: Database) -> None:
    """A table that was renamed keeps the names of its index and sequence; a new one finds others."""
    lake.put("2026-01-01", "t", [{"id": 1, "text": "some words of prose"}])
    for old in ("t_1", "t_2", "_t"):
        load(cli, lake.url, "--entity", "t")
        with database.connect(autocommit=True) as conn:
            conn.execute(f"alter table t rename to {old}".encode())

    load(cli, lake.url)

    for name in ("t_1", "t_2", "_t", "t"):
        assert rows(database, f"select id, pgpipe_row from {name}") == [(1, 1)]


IDENTITY = "create table t (id bigint generated {} as identity primary key, text text)"


def test_an_identity_column_may_be_loaded(cli: Cli, lake: Lake, database: Database) -> None:
    """By default or always, as the key."""
    lake.put("2026-01-01", "t", [{"id": 7, "text": "a"}])
    for kind in ("by default", "always"):
        with database.connect(autocommit=True) as conn:
            conn.execute(f"drop table if exists t; {IDENTITY.format(kind)}".encode())

        load(cli, lake.url, "--key", "id", "--entity", "t")

        assert table(database, "t", "id") == {7: {"id": 7, "text": "a"}}
