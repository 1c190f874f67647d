"""The roles, where the caller may not create them, and where pgvector is missing."""

from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pgpipe.db import Connection, Database
from tests.conftest import Cli, Lake, Server, also_on_16, make_cli
from tests.flow.support import fails
from tests.schema.houses import House, house, load, text
from tests.schema.test_roles import DENIED
from tests.sql.fake_model import Fake, make_worker
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


def test_tables_of_another_owner(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """V29, K20: who may not declare is told whom to ask; what a worker lacks is said at each place, and is enough."""
    cli: Cli = make_cli(house.as_role(house.dba).url, tmp_path, monkeypatch)
    app = f"app_{house.name}"
    assert cli("roles", "--dry-run").out.splitlines()[-2:] == [
        "pgpipe_owner owns the schema pgpipe",
        "Nothing was changed.",
    ]
    assert cli("roles", "--dry-run").out.startswith("created pgpipe_owner\n")
    assert cli("roles").code == 0
    with house.connect("postgres") as conn:
        conn.execute(
            f"""
            create role {app} login;
            create schema shop;
            grant usage, create on schema shop to {app};
            grant usage on schema shop to pgpipe_loader;
        """.encode()
        )
        try:
            check_tables_of_another_owner(house, cli, app, conn)
        finally:
            conn.execute(f"drop owned by {app}; drop role {app}".encode())


def check_tables_of_another_owner(house: House, cli: Cli, app: str, superuser: Connection) -> None:
    """Declared by the loader, by its owner, and by its owner who may; then granted what is said."""
    declare = "select pgpipe.enable_embedding('shop.p', '{text}', 'fake', 3)"
    with house.connect(app) as conn:
        conn.execute("create table shop.p (id int primary key, text text); insert into shop.p values (1, 'a coat')")
        superuser.execute("grant select, trigger, references on shop.p to pgpipe_loader")
        with (
            house.connect("pgpipe_loader") as loader,
            pytest.raises(psycopg.Error, match=f"belongs to {app}") as caught,
        ):
            loader.execute(declare)
        assert f"grant {app} to pgpipe_loader" in (caught.value.diag.message_hint or "")
        superuser.execute(f"grant usage on schema pgpipe to {app}".encode())
        assert sqlstate(conn, declare) == DENIED
        superuser.execute(f"grant pgpipe_loader to {app}".encode())
        warnings: list[tuple[str | None, str | None]] = []
        conn.add_notice_handler(lambda diag: warnings.append((diag.message_primary, diag.message_hint)))
        conn.execute(declare)

    ((message, hint),) = warnings
    assert "is not kept fresh yet: rights are missing for pgpipe_embedder and pgpipe_queue" in (message or "")
    needed = "grant usage on schema shop to pgpipe_embedder; grant usage on schema shop to pgpipe_queue"
    said = (hint, cli("roles").err, cli("doctor", "--skip-model").out, cli("status").out)
    assert [needed in (place or "") for place in said] == [True] * 4
    superuser.execute(needed.encode())
    assert make_worker(house.as_role("pgpipe_embedder"), Fake()).drain().embedded == {("shop", "p"): 1}
    assert cli("roles").err == ""


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
