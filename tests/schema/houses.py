"""A database whose owner is not a superuser, with and without the roles of pgpipe."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

import pgpipe
from pgpipe.db import Connection, Database
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings, Settings
from pgpipe.settings.sources import load_settings
from tests.conftest import Lake, Server
from tests.sql.support import value

ROLES = ("pgpipe_owner", "pgpipe_loader", "pgpipe_embedder", "pgpipe_reader", "pgpipe_api")


EMBED = "select pgpipe.enable_embedding('product', '{text}', 'fake', 3)"


@dataclass(frozen=True)
class House:
    """A database that uses the roles, and who administers it."""

    server: Server
    name: str
    dba: str

    def as_role(self, role: str) -> Database:
        """The database as this role sees it."""
        return Database(DatabaseSettings(url=make_conninfo(self.server.at(self.name), user=role)))

    def connect(self, role: str) -> Connection:
        """A connection of this role."""
        return self.as_role(role).connect(autocommit=True)


@pytest.fixture
def house(server: Server) -> Iterator[House]:
    """Migrated by a DBA with CREATEROLE who owns the database; pgvector was made by a superuser."""
    name = f"house_{uuid.uuid4().hex[:12]}"
    dba = sql.Identifier(name)
    with psycopg.connect(server.url, autocommit=True) as conn:
        for role in ROLES:  # of an earlier test: another DBA may not grant what he did not make
            if value(conn, "select to_regrole(%s)", role):
                conn.execute(sql.SQL("drop owned by {0}; drop role {0}").format(sql.Identifier(role)))
    server.execute(sql.SQL("create role {} login createrole").format(dba))
    server.execute(sql.SQL("create database {0} owner {0}").format(dba))
    assert server.template  # whose superuser made pgpipe_queue
    server.execute(sql.SQL("grant pgpipe_queue to {}").format(dba))
    with psycopg.connect(server.at(name), autocommit=True) as conn:
        conn.execute("create extension vector")
    house = House(server, name, name)
    migrate(house.as_role(name))
    yield house
    server.execute(sql.SQL("drop database {} with (force)").format(dba))
    with psycopg.connect(server.url, autocommit=True) as conn:
        for role in ROLES:
            if value(conn, "select to_regrole(%s)", role):
                conn.execute(sql.SQL("drop role {}").format(sql.Identifier(role)))
        conn.execute(sql.SQL("drop role {}").format(dba))


@pytest.fixture
def roles(house: House) -> House:
    """The same with the roles."""
    with house.connect(house.dba) as conn:
        conn.execute("select pgpipe.create_roles()")
    return house


def load(house: House, lake: Lake, *components: pgpipe.Component, role: str = "pgpipe_loader", **entity) -> None:
    """A load as this role, by the real pipeline."""
    settings: Settings = load_settings(
        options={"source": {"url": lake.url}, "entity": {"product": {"key": ["id"], **entity}}}
    )
    used = components or (pgpipe.ParquetImporter(), pgpipe.SearchIndexer())
    report = pgpipe.Pipeline(settings, list(used), house.as_role(role)).run()
    assert report.exit_code == 0, report.failures


def text(n: int, word: str = "jacket") -> dict:
    return {"id": n, "text": f"a waterproof {word}, number {n}, good for cycling in the rain"}
