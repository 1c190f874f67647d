"""What every test may ask for: see fixtures/servers.py, lakes.py, command.py and citus.py."""

# ruff: noqa: F401 - pytest finds fixtures where they are imported, and tests import the types from here

import os

import pytest

from tests.fixtures.citus import pretend, pretending
from tests.fixtures.command import Cli, Configure, Result, cli, configure, logged, make_cli, plain_cli
from tests.fixtures.lakes import DocsLake, Lake, docs_lake, lake, s3, s3_environment
from tests.fixtures.servers import (
    Guarded,
    Server,
    also_on_16,
    any_database,
    clone,
    conn,
    database,
    guarded,
    other,
    plain_database,
    server,
    server15,
    server16,
    server18,
    start_debian,
    start_wheel,
)

# The workers keep each core busy: a model's threads would wait for each other in loops, for a fifth of its time.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _on_16(item: pytest.Item) -> bool:
    return getattr(item, "callspec", None) is not None and item.callspec.params.get("server") == 16


@pytest.hookimpl(tryfirst=True)  # before `-m` chooses
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the further cases of a test on PostgreSQL 16 to `make test-long`, and put together what shares a cost.

    A worker takes neighbours. So few of them import torch, which the first tests do, and which are the longest too; and
    few start an older server, which the last tests use.
    """
    seen = set()
    for item in filter(_on_16, items):
        name = item.nodeid.partition("[")[0]
        if name in seen:
            item.add_marker(pytest.mark.long)
        seen.add(name)

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("model"):
            return 0
        return 2 if _on_16(item) else 3 if "server15" in getattr(item, "fixturenames", ()) else 1

    items.sort(key=place)
