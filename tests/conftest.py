"""What every test may ask for: see fixtures/servers.py, fixtures/lakes.py and fixtures/command.py."""

# ruff: noqa: F401 - pytest finds fixtures where they are imported, and tests import the types from here

import os

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
