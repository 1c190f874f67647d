"""A served page: uvicorn on loopback, over a database of one's own; and Chromium to look at it."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from pgpipe.db import Database
from pgpipe.embed.model.base import Model
from pgpipe.settings.model import EmbeddingSettings
from pgpipe.web.app import create_app
from pgpipe.web.asking import Models
from tests.sql.fake_model import Fake

HOSTILE = '<script>window.hacked=1</script><img src=x onerror="window.hacked=1"></b>\'"--'
MADE = """
    create table doc (id int primary key, title text, body text, size int);
    insert into doc values (1, 'Rain jacket', 'A waterproof jacket for cycling', 10),
                           (2, 'Wool hat', 'Warm, but no jacket', 20),
                           (3, 'Tent', 'Waterproof to 3000 mm', 300);
    select pgpipe.enable_search('doc', '{title=>A, body=>B}');
    select pgpipe.enable_embedding('doc', '{title,body}', 'fake', 3);
    insert into pgpipe.load (entity, date, mode, started_at, finished_at, read, inserted)
        values ('doc', '2026-01-02', 'upsert', now() - interval '2 hours', now() - interval '1 hour', 3, 3);
"""
APPLICATION = """
    create table secret (id int primary key, title text);
    insert into secret values (1, 'hidden jacket');
    select pgpipe.enable_search('secret', '{title=>A}');
    select pgpipe.refresh_search('secret');
    select pgpipe.create_roles();
    alter table doc enable row level security;
    create policy all_rows on doc to pgpipe_reader using (true);
"""


@contextmanager
def serving(database: Database, load: Callable[[EmbeddingSettings], Model] = lambda _: Fake()) -> Iterator[str]:
    """The address of the page over this database, while the block runs."""
    config = uvicorn.Config(
        create_app(database, Models(EmbeddingSettings(model="fake"), load)), port=0, log_level="error"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the server did not start"
        time.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join(10)


def fill(database: Database) -> None:
    """Three docs with a search column and a declared embedding."""
    with database.connect() as conn:
        conn.execute(MADE)


def embed_all(database: Database) -> None:
    """Vectors for all of them."""
    from tests.sql.fake_model import make_worker

    make_worker(database, Fake()).drain()


def settled(url: str) -> None:
    """Wait until the model is loaded: then nothing says that it is being loaded."""
    for _ in range(500):
        if httpx.get(f"{url}/api/search", params={"q": "x", "mode": "vector"}).status_code != 503:
            return
        time.sleep(0.01)
    raise AssertionError("the model is still being loaded")


@pytest.fixture
def filled(database: Database) -> Database:
    """Three docs, searchable in all three modes."""
    fill(database)
    embed_all(database)
    return database


@pytest.fixture
def page(filled: Database) -> Iterator[str]:
    """The address of the page over `filled`, its model loaded."""
    with serving(filled) as url:
        settled(url)
        yield url


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium without a window."""
    path = shutil.which("chromium")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("CI installs chromium (Debian); it is missing")
        pytest.skip("Debian's chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def shop(filled: Database) -> Database:
    """Three docs in all modes, another table, and the roles."""
    with filled.connect(autocommit=True) as conn:
        conn.execute(APPLICATION)
    return filled
