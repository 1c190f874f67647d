"""The code of README, docs/components.md and docs/operating.md runs as it stands there."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from psycopg import sql

from pgpipe.db import Database
from pgpipe.settings.model import Settings
from tests.conftest import Lake
from tests.sql.support import column

ROOT = Path(__file__).parents[2]
COMPONENTS = "docs/components.md"
JACKETS = [
    {
        "id": n,
        "title": f"Jacket {n}",
        "description": f"A waterproof jacket of {'wool' if n % 3 else 'leather'}, number {n}, for rain and wind",
        "brand": "x" if n % 2 else "y",
        "price": n * 10,
    }
    for n in range(1, 9)
]


def block(language: str, part: str, page: str = "README.md") -> str:
    """The code block of a page, of a language, that holds this text."""
    text = (ROOT / page).read_text(encoding="utf-8")
    (found,) = (b for b in re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if part in b)
    return found


@pytest.fixture
def shop(database: Database, lake: Lake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A lake of products, and the environment that names it and the database."""
    lake.put("2026-01-01", "product", JACKETS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.setenv("PGPIPE_SOURCE__URL", lake.url)
    monkeypatch.setenv("PGPIPE_ENTITY", '{"product": {"key": ["id"]}}')
    return database


def test_the_configuration_is_valid() -> None:
    """Every setting of it exists, with a value it may have."""
    Settings.model_validate(tomllib.loads(block("toml", "[entity.product]")))


def test_a_component_of_ones_own(shop: Database) -> None:
    """It runs after the import, stands in the report, and does what it says."""
    with shop.connect(autocommit=True) as listener:
        listener.execute("listen loaded")
        ran: dict[str, Any] = {"__name__": "readme"}
        exec(block("python", "class Tell", COMPONENTS), ran)
        heard = [n.payload for n in listener.notifies(timeout=60, stop_after=1)]

    assert heard == ["product"]
    assert [(s.stage, s.state, s.note) for s in ran["report"].stages][-1] == ("tell", "ok", "listeners were notified")
    assert sum(line.strip() != "" for line in block("python", "class Tell", COMPONENTS).splitlines()) <= 10


@pytest.mark.model
def test_search_from_sql_and_from_python(shop: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Both declarations and both searches, as they are written."""
    from pgpipe import ParquetImporter, Pipeline
    from pgpipe.embed.worker import Worker
    from pgpipe.settings.sources import load_settings

    assert Pipeline(components=[ParquetImporter()], skip={"search"}).run().exit_code == 0
    statements = block("sql", "pgpipe.enable_search").split(";\n")
    with shop.connect(autocommit=True) as conn:
        for statement in filter(str.strip, statements[:2]):
            conn.execute(statement.encode())
    Worker(shop, load_settings().embedding).drain()
    with shop.connect(autocommit=True) as conn:
        vector = column(conn, "select vector::text from product_embedding limit 1")[0]
        for statement in filter(str.strip, statements[2:]):
            filled = statement.replace(":vector", sql.Literal(vector).as_string(conn))
            assert conn.execute(filled.encode()).fetchall(), statement
    exec(block("python", "pgpipe.search("), {})

    printed = re.findall(r"^\{'id': (\d)\} \d\.\d+", capsys.readouterr().out, re.MULTILINE)
    assert sorted(printed) == ["1", "3", "5", "7"]  # those of brand x


def test_removing_pgpipe(shop: Database) -> None:
    """Nothing of pgpipe is left: no schema, table, column, trigger or function; the rows are all there."""
    from pgpipe import ParquetImporter, Pipeline, SearchIndexer

    assert Pipeline(components=[ParquetImporter(), SearchIndexer()]).run().exit_code == 0
    with shop.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.enable_embedding('product', '{title}', 'none', 3)")
        conn.execute("select pgpipe.enable_filters('product', '{brand}')")
        conn.execute("create table article (id int primary key, body text)")
        conn.execute("select pgpipe.enable_search('article', '{body=>A}', online => true)")
        for statement in filter(str.strip, block("sql", "drop schema pgpipe", "docs/operating.md").split(";\n")):
            conn.execute(statement.encode())

        assert column(conn, "select nspname from pg_namespace where nspname ~ 'pgpipe'") == []
        assert column(conn, "select tgname from pg_trigger where tgname ~ 'pgpipe'") == []
        tables = "select tablename from pg_tables where schemaname = 'public' order by 1"
        assert column(conn, tables) == ["article", "product"]
        columns = "select column_name from information_schema.columns where table_name in ('product', 'article')"
        assert set(column(conn, columns)) == {*JACKETS[0], "body"}
        assert column(conn, "select count(*) from product") == [len(JACKETS)]
