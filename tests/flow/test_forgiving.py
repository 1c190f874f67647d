"""What forgives on the command line and in Python: synonyms from a file, corrections, suggestions; and facets."""

import json
from pathlib import Path

import pgpipe
from pgpipe.db import Database
from pgpipe.searching.facets import Total
from tests.conftest import Cli

FILE = """
# what customers call things
Coat, Jacket,  Winter  parka
tv, telly => Television, tv   # one way
"""


def test_import_and_list(cli: Cli, database: Database, tmp_path: Path) -> None:
    """Twice is once; --replace removes the others; a bad line changes nothing and is named."""
    with database.connect() as conn:
        conn.execute("create table product (id int primary key, title text)")
        conn.execute("insert into product values (1, 'Jacket'), (2, 'Television')")
        conn.execute("select pgpipe.enable_search('product', '{title=>A}')")
    (tmp_path / "words.txt").write_text(FILE)

    for _ in range(2):
        done = cli("synonyms", "import", "words.txt")
        assert (done.code, done.err) == (0, "pgpipe: product: 3 synonyms imported\n"), done
    listed = cli("synonyms", "list", "--entity", "product")
    assert listed.out.splitlines() == [
        "# product",
        "coat, jacket, winter parka",
        "telly => television, tv",
        "tv => television",
    ]
    found = json.loads(cli("search", "telly", "--mode", "text", "--json").out)
    assert [hit["key"] for hit in found] == [{"id": 2}]
    (tmp_path / "bad.txt").write_text("coat, jacket\nalone\n")
    bad = cli("synonyms", "import", "bad.txt", "--replace")
    assert bad.code == 2
    assert "bad.txt:2 is not a synonym" in bad.err
    (tmp_path / "new.txt").write_text("tv => television")
    assert cli("synonyms", "import", "new.txt", "--replace").code == 0
    assert cli("synonyms", "list", "--json").out.count('"term"') == 1


def test_corrections_suggestions_and_facets(cli: Cli, database: Database) -> None:
    """By the command line and from Python alike."""
    with database.connect() as conn:
        conn.execute("create table product (id int primary key, title text, price int)")
        conn.execute("insert into product values (1, 'Rain jacket', 10), (2, 'Rain hat', 20), (3, 'Wool hat', 30)")
        conn.execute("select pgpipe.enable_search('product', '{title=>A}'); select pgpipe.refresh_search('product')")

    corrected = cli("search", "jaket", "--mode", "text")
    assert "Answers to: jacket" in corrected.err
    assert "Nothing found." in cli("search", "jaket", "--mode", "text", "--no-fuzzy").err
    assert [hit.corrected for hit in pgpipe.search("jaket", mode="text", database=database)] == ["jacket"]
    assert cli("search", "rain j", "--suggest").out == "rain jacket\nRain jacket\n"
    assert json.loads(cli("search", "woo", "--suggest", "--json").out)[0] == {
        "suggestion": "wool", "kind": "word", "rows": 1,
    }  # fmt: skip
    assert [each.kind for each in pgpipe.suggest("wool h", database=database)] == ["word", "title"]
    assert pgpipe.suggest("w" * 500, database=database) == []
    assert cli("facets", "hat", "title", "price=25").out.split("\n") == [
        "2 rows match", "title", "              1  Rain hat", "              1  Wool hat", "price",
        "              1  (,25)", "              1  [25,)", "",
    ]  # fmt: skip
    counted = pgpipe.facets("hat", ["title"], filter={"price": {"lt": 25}}, database=database)
    assert (counted.total, [each.value for each in counted.values]) == (Total(1, exact=True), ["Rain hat"])
    wrong = cli("facets", "hat", "prise")
    assert wrong.code != 0
    assert "no column prise" in wrong.err
