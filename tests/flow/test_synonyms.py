"""pgpipe synonyms: a file goes in, questions find more, and a list comes out that goes in again."""

import json
from pathlib import Path

from pgpipe.db import Database
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
