"""The roles, where the caller may not create them, and where pgvector is missing."""

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pgpipe.db import Database
from tests.conftest import Cli, Lake, Server, also_on_16, make_cli
from tests.flow.support import fails
from tests.schema.houses import House, house, load, text
from tests.schema.test_roles import DENIED
from tests.sql.support import column, sqlstate

__all__ = ["house"]  # fixtures


@also_on_16
def test_who_may_not_create_roles_is_told_what_to_run(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line with the statements for a superuser; once they have run, `pgpipe roles` does the rest."""
    with psycopg.connect(house.server.url, autocommit=True) as conn:
        conn.execute(sql.SQL("alter role {} nocreaterole").format(sql.Identifier(house.dba)))
    cli: Cli = make_cli(house.as_role(house.dba).url, tmp_path, monkeypatch)

    line = fails(cli("roles"), 2, f"{house.dba} may not create roles. As a superuser, or a role with CREATEROLE, run: ")

    statements = line.partition("run: ")[2].partition("; then `pgpipe roles` again")[0]
    with psycopg.connect(house.server.url, autocommit=True) as conn:
        conn.execute(statements.encode())
    done = cli("roles")
    assert (done.code, done.out) == (0, "pgpipe_owner owns the schema pgpipe\n")
    assert cli("roles").out == "The roles are up to date.\n"


def test_without_pgvector(server15: Server, plain_database: Database, lake: Lake) -> None:
    """Server 15, before roles had grantors: load and keyword search with their roles."""
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.create_roles()")
        name = conn.info.dbname
    house = House(server15, name, "postgres")
    lake.put("2026-01-01", "product", [text(1)])
    load(house, lake)
    with house.connect("pgpipe_reader") as conn:
        assert len(column(conn, "select key from pgpipe.text_search('product', 'waterproof')")) == 1
        assert sqlstate(conn, "delete from product") == DENIED
