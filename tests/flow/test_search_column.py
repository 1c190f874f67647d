"""The search column through the command line: chosen, configured, changed, and filled beside running work."""

import json

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import fails, load, rows

PROSE = "A sentence of several words, as people write them"
CONFIG = """
[entity.item]
key = ["id"]
search = {{ {} }}
"""


def items(lake: Lake, count: int = 20) -> str:
    """A lake of one entity with two columns of prose; returns its url."""
    data = [{"id": n, "title": f"{PROSE} {n}", "notes": f"okapi {PROSE}", "lang": "de"} for n in range(count)]
    lake.put("2026-01-01", "item", data)
    return lake.url


def found(cli: Cli, query: str, *options: str) -> int:
    """How many answers a question has."""
    result = cli("search", query, "--json", "-k", "100", "--no-fuzzy", *options)
    assert result.code == 0, result
    return len(json.loads(result.out))


def configure(cli_folder: Lake, search: str) -> None:
    """Write pgpipe.toml beside the lake, where the commands run."""
    (cli_folder.path.parent / "pgpipe.toml").write_text(CONFIG.format(search))


def test_another_configuration_is_followed(cli: Cli, lake: Lake, database: Database) -> None:
    """A column more, another language: the next load fills a second search column and lets it serve."""
    url = items(lake)
    configure(lake, 'columns = { title = "A" }')
    load(cli, url)
    assert (found(cli, "okapi"), found(cli, "sentences")) == (0, 20)

    configure(lake, 'columns = { title = "A", notes = "B" }')
    stage = load(cli, url)["item", "search"]
    assert stage["note"] == "search column filled"
    assert found(cli, "okapi") == 20
    assert load(cli, url)["item", "search"]["note"] == ""

    configure(lake, 'columns = { title = "A", notes = "B" }, language = "simple" }\nranking = { k1 = 2.0')
    load(cli, url)
    assert (found(cli, "sentences"), found(cli, "sentence")) == (0, 20)
    configure(lake, 'columns = { title = "A" }, language_column = "lang"')
    load(cli, url)
    assert (found(cli, "okapi"), found(cli, "sentence")) == (0, 20)
    assert rows(database, "select by_trigger, language_column, column_name, k1, b from pgpipe.search") == [
        (True, "lang", "search", 2.0, 0.75)  # what it ranks by is the target's, not the column's
    ]


def test_later_loads_keep_a_filled_column(cli: Cli, lake: Lake) -> None:
    """Rows that a later date changes, adds and takes away are searched as they are: a trigger keeps the column."""
    url = items(lake)
    configure(lake, 'columns = { title = "A" }')
    load(cli, url)
    configure(lake, 'columns = { title = "A", notes = "B" }')
    load(cli, url)
    changed = [
        {"id": 0, "title": "zebra", "notes": None, "lang": "de"},
        {"id": 99, "title": "gnu", "notes": "zebra", "lang": "x"},
    ]
    lake.put("2026-01-02", "item", changed)

    load(cli, url, "--mode", "snapshot")

    assert (found(cli, "zebra"), found(cli, "gnu"), found(cli, "okapi")) == (2, 1, 0)


def test_fill_search(cli: Cli, lake: Lake, database: Database) -> None:
    """What was declared online from psql is filled by command; searches say so until then."""
    url = items(lake, 3000)
    load(cli, url, "--key", "id", "--skip-search")
    with database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.enable_search('item', '{title=>A, notes=>B}', online => true)")
    before = cli("search", "okapi", "--entity", "item")
    assert (before.code, "nothing is searchable yet" in before.err) == (2, True), before

    filled = cli("fill-search", "--batch", "500")

    assert (filled.code, filled.out) == (0, "item: filled, and serves\n"), filled
    assert found(cli, "okapi") == 100
    assert cli("fill-search").out == "Every search column is filled.\n"


def test_a_large_table_is_not_rewritten(cli: Cli, lake: Lake, database: Database) -> None:
    """A target that is there and large gets its search online, and a load finishes what was begun."""
    load(cli, items(lake, 10_000), "--key", "id", "--skip-search")
    file = rows(database, "select relfilenode from pg_class where relname = 'item'")
    assert rows(database, "select pg_relation_size('item') > 1300000") == [(True,)]

    with database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe_internal.ensure_search('item', '{title=>A}', 'english', online_above => 1300000)")
    stage = load(cli, lake.url, "--key", "id")["item", "search"]

    assert stage["note"] == "search column filled"
    assert rows(database, "select relfilenode from pg_class where relname = 'item'") == file
    assert found(cli, "sentence") == 100


def test_pages_and_beginnings(cli: Cli, lake: Lake) -> None:
    """--skip goes on where the last page ended, with its numbers; --prefix takes the last word for a beginning."""
    load(cli, items(lake), "--key", "id")
    whole = json.loads(cli("search", "sentence", "--json", "-k", "20", "--mode", "text").out)
    page = json.loads(cli("search", "sentence", "--json", "-k", "5", "--skip", "5", "--mode", "text").out)

    assert page == whole[5:10]
    assert [hit["text_rank"] for hit in page] == [6, 7, 8, 9, 10]
    assert cli("search", "sentence", "-k", "1", "--skip", "5", "--mode", "text").out.startswith(" 6. ")
    assert (found(cli, "okap"), found(cli, "okap", "--prefix"), found(cli, "okap*")) == (0, 20, 20)
    assert found(cli, "okapi\0") == 20


def test_a_question_that_begins_with_a_hyphen(cli: Cli, lake: Lake) -> None:
    """V31: -word is a question like any other; -k and -h stay options, and a misspelt option is said."""
    load(cli, items(lake), "--key", "id")

    assert (found(cli, "-okapi sentence"), found(cli, "-kayak sentence"), found(cli, "-kayak")) == (0, 20, 20)
    page = ("--json", "--mode", "text", "-k3", "--skip", "2")
    plain = json.loads(cli("search", *page, "--", "-kayak sentence").out)
    assert json.loads(cli("search", "-kayak sentence", *page).out) == plain
    assert len(plain) == 3
    assert cli("search", "-h").out.startswith("Usage: pgpipe search")
    fails(cli("search", "--jsn", "-okapi"), 2, "No such option '--jsn'")
    fails(cli("search", "okapi", "--skip", "-1"), 2, "--skip")
