"""Loads through the command line: modes, the ledger, what changes and what does not."""

import json

import pytest

from tests.conftest import Cli, DocsLake, Lake
from pgpipe.db import Database


def report(result) -> dict:
    """The stages of a run by (entity, stage)."""
    return {(s["entity"], s["stage"]): s for s in json.loads(result.out)["stages"]}


OPTIONS = ("--key", "name", "--mode", "snapshot", "--skip-embeddings", "--json")


def test_snapshot_changes_exactly_what_differs(cli: Cli, docs_lake: DocsLake, database: Database) -> None:
    """The newer date touches the known rows and no other; the rest keeps its row version."""
    first = cli("load", "--source", docs_lake.url, "--date", "2026-01-01", *OPTIONS)
    assert first.code == 0, first.err
    with database.connect() as conn:
        before = dict(conn.execute("select name, xmin::text from function").fetchall())

    second = report(cli("load", "--source", docs_lake.url, *OPTIONS))

    for entity, changes in docs_lake.changes.items():
        stage = second[entity, "import"]
        assert (stage["inserted"], stage["updated"], stage["deleted"]) == (
            changes.inserted,
            changes.updated,
            changes.deleted,
        )
    with database.connect() as conn:
        after = dict(conn.execute("select name, xmin::text from function").fetchall())
    changes = docs_lake.changes["function"]
    untouched = {n for n in after if before.get(n) == after[n]}
    assert len(untouched) == changes.rows - changes.inserted - changes.updated
