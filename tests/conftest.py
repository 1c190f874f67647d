"""What every test may ask for: see fixtures/servers.py, fixtures/lakes.py and fixtures/command.py."""

# ruff: noqa: F401 - pytest finds fixtures where they are imported, and tests import the types from here

import os

import pytest

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests together that need the same costly thing: a worker takes neighbours, so that few workers make it.

    First those that import torch, which are the longest too, and at the end those of the older servers.
    """

    def place(item: pytest.Item) -> int:
        if item.get_closest_marker("model"):
            return 0
        on_16 = getattr(item, "callspec", None) and item.callspec.params.get("server") == 16
        return 2 if on_16 else 3 if "server15" in getattr(item, "fixturenames", ()) else 1

    items.sort(key=place)
