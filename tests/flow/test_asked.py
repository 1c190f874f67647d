"""The log of questions: off unless configured, written after the answer, and shown to those who may see it."""

import json
import logging
import re
from pathlib import Path

import pytest

from pgpipe.api.asynchronous import AsyncSearcher
from pgpipe.api.searcher import Searcher
from pgpipe.db import Database
from pgpipe.searching import asked
from pgpipe.settings.model import AskedSettings, DatabaseSettings, Settings
from tests.conftest import Cli
from tests.sql.support import column, in_a_loop, make_docs, value

PAGE = Path(__file__).parents[2] / "docs/tuning.md"
FOUND = "select question, mode, hits, milliseconds ? 'search' from pgpipe.asked order by asked_id"


def test_what_is_recorded(database: Database, cli: Cli, tmp_path: Path, logged: list[dict]) -> None:
    """Nothing at first; then words or a hash, by the command and by both searchers; a log that is lost fails nobody."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn, 3)
        conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
        assert cli("search", "title").code == 0
        asked.flush()
        assert value(conn, "select count(*) from pgpipe.asked") == 0

        (tmp_path / "pgpipe.toml").write_text('[asked]\nquestion = "words"\n', encoding="utf-8")
        assert cli("search", " title ").code == 0
        assert cli("search", "zither", "--no-fuzzy").code == 0
        hashed = AskedSettings(question="hash", days=1)
        settings = Settings(database=DatabaseSettings(url=database.url), asked=hashed)
        with Searcher(settings=settings) as searcher:
            assert searcher.search("Zither", fuzzy=False) == []

        async def ask() -> None:
            async with AsyncSearcher(settings=settings) as searcher:
                assert len(await searcher.search("body", k=2)) == 2

        in_a_loop(ask())
        asked.flush(60)
        rows = [
            ("title", "text", 3, True),
            ("zither", "text", 0, True),
            (None, "text", 0, True),
            (None, "text", 2, True),
        ]
        assert sorted(conn.execute(FOUND).fetchall(), key=str) == sorted(rows, key=str)
        assert conn.execute("select entity, question, times from pgpipe.unanswered").fetchall() == [
            ("doc", "zither", 2)
        ]
        status = json.loads(cli("status", "--json").out)
        assert [(q["question"], q["times"]) for q in status["unanswered"]] == [("zither", 2)]
        assert "Questions without an answer" in cli("status").out
        (example,) = re.findall(r"```sql\n(.*?);\n```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        assert [row[:2] for row in conn.execute(example.encode()).fetchall()] == [("zither", 2)]

        conn.execute("update pgpipe.asked set asked_at = now() - interval '31 days'")
        conn.execute("alter table pgpipe.asked rename column hits to lost")
        logging.getLogger("pgpipe").setLevel(logging.INFO)  # a command that has no log file is silent
        with Searcher(settings=settings) as searcher:
            assert len(searcher.search("title")) == 3
        asked.flush(60)
        assert [entry["event"] for entry in logged if "questions" in entry] == ["questions are not recorded"]
        conn.execute("alter table pgpipe.asked rename column lost to hits")
        assert cli("search", "title").code == 0
        asked.flush(60)
        assert value(conn, "select count(*) from pgpipe.asked") == 1


@pytest.mark.parametrize("owner", [True, False])
def test_who_reads_it(database: Database, owner: bool) -> None:
    """A role reads its own questions; the owner of a table reads all about it; nobody writes in another's name."""
    with database.connect(autocommit=True) as conn:
        make_docs(conn, 1)
        conn.execute("drop role if exists asking; create role asking")
        try:
            conn.execute("grant usage on schema pgpipe to asking; grant select, insert on pgpipe.asked to asking")
            conn.execute("grant select on doc to asking")
            if owner:
                conn.execute("alter table doc owner to asking")
            write = """
                insert into pgpipe.asked (asked_by, target, mode, hash, hits, milliseconds)
                values (%s, 'doc', 'text', sha256('x'), 0, '{}')
            """
            conn.execute(write, ("postgres",))
            conn.execute("set role asking")
            conn.execute(write, ("asking",))
            assert len(column(conn, "select asked_id from pgpipe.asked")) == (2 if owner else 1)
            if not owner:
                with pytest.raises(Exception, match="row-level security"):
                    conn.execute(write, ("postgres",))
        finally:
            conn.execute("reset role; drop owned by asking cascade; drop role asking")
