"""What the tests of the command line share: running a load, reading its report, reading a table."""

import json
from typing import Any

from psycopg import sql
from psycopg.rows import dict_row

from pgpipe.db import Database
from pgpipe.source import Source
from pgpipe.source.layout import EntityFiles, Lake
from tests.conftest import Cli, Result

REJECTED = """
    select file, row_group, row_number, column_name, reason, key, row from pgpipe.rejected_row
     where entity = 'product' order by file, row_group, row_number
"""
Stages = dict[tuple[str, str], dict[str, Any]]


def stages(result: Result) -> Stages:
    """The report of a run, by entity and stage."""
    return {(s["entity"], s["stage"]): s for s in json.loads(result.out)["stages"]}


def newest(source: Source) -> list[EntityFiles]:
    """The entities of the newest date of a lake whose dates lie above them."""
    lake = Lake(source)
    return lake.entities(lake.dates()[-1])


def load(cli: Cli, url: str, *options: str, embed: bool = False) -> Stages:
    """A load that must succeed; without embeddings unless they are asked for."""
    result = cli("load", "--source", url, "--json", *([] if embed else ["--skip-embeddings"]), *options)
    assert (result.code, result.err) == (0, ""), result
    return stages(result)


def counts(stage: dict[str, Any]) -> tuple[int, ...]:
    """Rows inserted, updated, deleted and unchanged."""
    return tuple(stage[name] for name in ("inserted", "updated", "deleted", "unchanged"))


def fails(result: Result, code: int, *parts: str) -> str:
    """Check that a command failed as it should: one line on stderr that says all this. Returns the line."""
    assert "Traceback" not in result.out + result.err
    lines = result.err.splitlines()
    assert (result.code, len(lines)) == (code, 1), result
    for part in parts:
        assert part in lines[0]
    return lines[0]


def rows(database: Database, query: str, *values: object) -> list[tuple[Any, ...]]:
    """All rows of a query."""
    with database.connect() as conn:
        return conn.execute(query.encode(), values or None).fetchall()


def table(database: Database, name: str, key: str) -> dict[Any, dict[str, Any]]:
    """The rows of a table by one of its columns; without what pgpipe adds."""
    with database.connect() as conn, conn.cursor(row_factory=dict_row) as cursor:
        found = cursor.execute(sql.SQL("select * from {}").format(sql.Identifier(name))).fetchall()
    return {row[key]: {n: v for n, v in row.items() if n not in {"search", "pgpipe_row"}} for row in found}


def versions(database: Database, name: str, key: str) -> dict[Any, str]:
    """The version (xmin) of each row: it changes whenever a row is written."""
    with database.connect() as conn:
        statement = sql.SQL("select {}, xmin::text from {}").format(sql.Identifier(key), sql.Identifier(name))
        return dict(conn.execute(statement).fetchall())
