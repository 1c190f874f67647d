"""Fixtures of the tests of the SQL functions and of the worker."""

from collections.abc import Iterator

import pytest

from pgpipe.db import Database
from pgpipe.embed import backoff, sweep, trouble
from tests.sql.injected import Embedded


@pytest.fixture
def two(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Embedded]:
    """Both, and back-offs that nobody needs to wait for."""
    monkeypatch.setattr(backoff, "SHORTEST", 0.02)
    monkeypatch.setattr(backoff, "LONGEST", 0.1)
    monkeypatch.setattr(trouble, "FIRST", 0.02)
    monkeypatch.setattr(trouble, "POLL", 0.05)
    monkeypatch.setattr(trouble, "PATIENCE", 1)
    monkeypatch.setattr(sweep, "LOOK", 0.05)
    with database.connect(autocommit=True) as conn:
        yield Embedded(database, conn)
