"""docs/search.md: each feature of a search has an example on the command line, in Python or over HTTP, and it runs."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import pgpipe
from pgpipe.db import Database
from pgpipe.settings.sources import load_settings
from pgpipe.web.app import create_app
from pgpipe.web.asking import Models
from tests.conftest import Cli
from tests.fixtures.rerankers import Service, serving
from tests.flow.test_search_docs import PAGE
from tests.sql.support import in_a_loop

TEXT = PAGE.read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    pgpipe (.+)$", TEXT, re.MULTILINE) + re.findall(
    r"`pgpipe ((?:search|similar|facets) [^`]+)`", TEXT
)
EXPRESSIONS = re.findall(r"`(pgpipe\.(?:search|similar|facets|suggest)\([^`]*\))`", re.sub(r"'[a-z_]+'", "", TEXT))
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
PATHS = re.findall(r"`(/api/[^`]+)`", TEXT)
FEATURES = {  # what the page has, and by what its example is known
    "filters": "--filter", "pages": "--skip", "beginnings": "--prefix", "words that must not occur": '"-hood"',
    "no corrections": "--no-fuzzy", "suggestions": "--suggest", "synonyms": "synonyms import", "facets": "facets",
    "boosts": "--boost", "orders": "--order-by", "similar rows": "similar", "explanations": "--explain",
    "rows": "--row", "several entities": "--entity article --entity product", "no reranking": "--no-rerank",
    "reranking": "--rerank-by",
}  # fmt: skip
SHOP = """
    create table product (id int primary key, title text, description text, brand text, price numeric);
    insert into product select n, 'Rain jacket', 'waterproof', 'x', 20 from generate_series(1, 12) n;
    create table article (id int primary key, title text, body text, year int, popularity int);
    insert into article values (1, 'Compress a file', 'A waterproof jacket.', 2024, 7),
                               (2, 'Compress files', 'Of a jacket.', 2025, 9);
    select pgpipe.enable_search('product', '{title=>A, description=>B}');
    select pgpipe.enable_search('article', '{title=>A, body=>B}');
    select pgpipe.refresh_search('product');
"""


@pytest.fixture
def service() -> Iterator[Service]:
    """A reranker that likes long texts."""
    with serving(lambda text: float(len(text))) as server:
        yield server


@pytest.fixture
def shop(database: Database, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """What the page asks, where programs find it."""
    with database.connect(autocommit=True) as conn:
        conn.execute(SHOP.encode())
    (tmp_path / "words.txt").write_text("coat, jacket, parka\ntv, telly => television\n")
    declared = 'rerank = { model = "m", candidates = 50, budget = "60s" }'
    (tmp_path / "pgpipe.toml").write_text(
        f'[rerank]\nbackend = "http"\nurl = "{service.url}"\n[entity.product]\n{declared}'
    )
    monkeypatch.setenv("DATABASE_URL", database.url)
    monkeypatch.chdir(tmp_path)
    return database


@pytest.mark.usefixtures("shop")
def test_every_command(cli: Cli) -> None:
    """Each feature has one; each answers."""
    for feature, sign in FEATURES.items():
        assert any(sign in command for command in COMMANDS), feature
    for command in COMMANDS:
        done = cli(*shlex.split(command))
        assert done.code == 0, (command, done)
        assert done.out or "import" in command or "--no-fuzzy" in command, (command, done)
        if "--rerank-by" in command:
            assert done.err.strip() == "Reranked: 2 of 2"
        if "--explain" in command:
            assert "idf" in json.dumps(json.loads(done.out)[0]["details"])


def test_every_call(shop: Database, capsys: pytest.CaptureFixture[str]) -> None:
    """Of Python and over HTTP: each answers."""
    assert len(EXPRESSIONS) >= 4
    for expression in EXPRESSIONS:
        assert eval(expression, {"pgpipe": pgpipe}), expression
    assert len(BLOCKS) >= 2
    for block in BLOCKS:
        exec(block, {})
        assert capsys.readouterr().out.count("{'id': ") >= 5

    async def asked() -> list[httpx.Response]:
        app = create_app(shop, Models(load_settings().embedding))
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return [await client.get(path) for path in PATHS]

    assert len(PATHS) == 2
    for response in in_a_loop(asked()):
        assert response.status_code == 200, response.text
        assert next(iter(response.json().values()))
