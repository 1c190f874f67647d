"""What the attacks share: roles that may do little, and code of theirs that notices when somebody else runs it."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from pgpipe.db import Connection, Database
from tests.sql.support import value

# A sequence is not rolled back, so it counts also where the statement fails that ran the code.
EVIL = """
    create sequence {schema}.caught; grant usage on sequence {schema}.caught to public;
    create function {schema}.evil(what anyelement) returns boolean immutable language plpgsql as $$
    begin
        if current_user <> all (array[{allowed}]) then
            perform nextval('{schema}.caught');
        end if;
        return true;
    end $$;
    create function {schema}.evil_text(what anyelement) returns text immutable language sql as
        $$ select case when {schema}.evil(what) then 'evil' end $$;
"""


@dataclass(frozen=True)
class Attacker:
    """A role with a schema of its own, and its connection; `evil(x)` there is its code."""

    conn: Connection
    role: str
    schema: str

    def caught(self) -> bool:
        """Whether its code ran as somebody who should not run it."""
        return value(self.conn, f"select is_called from {self.schema}.caught")


def run(conn: Connection, statements: str, **names: str) -> None:
    """Statements with names of the test's own in them; {{}} are braces."""
    conn.execute(statements.format(**names).encode())


@contextmanager
def attacker(database: Database, *, allowed: tuple[str, ...] = ()) -> Iterator[Attacker]:
    """A role that owns a schema and nothing else; its code may run as itself and as those `allowed`."""
    role = f"attacker_{uuid.uuid4().hex[:8]}"
    with database.connect(autocommit=True) as conn:
        run(conn, "create role {role} login; create schema {role} authorization {role}", role=role)
        run(conn, "grant usage on schema {role} to public", role=role)
    with connect(database, role) as own:
        run(own, EVIL, schema=role, allowed=", ".join(f"'{name}'" for name in (role, *allowed)))
        yield Attacker(own, role, role)
    with database.connect(autocommit=True) as conn:
        run(conn, "drop owned by {role} cascade; drop role {role}", role=role)


@contextmanager
def connect(database: Database, role: str) -> Iterator[Connection]:
    """A connection of this role."""
    with psycopg.connect(make_conninfo(database.url, user=role), autocommit=True) as conn:
        yield conn


@contextmanager
def plain_role(database: Database, *grants: str) -> Iterator[Connection]:
    """A role with these rights and no others, connected."""
    role = f"plain_{uuid.uuid4().hex[:8]}"
    with database.connect(autocommit=True) as conn:
        conn.execute(sql.SQL("create role {} login").format(sql.Identifier(role)))
        for grant in grants:
            run(conn, f"grant {grant} to {{role}}", role=role)
    with connect(database, role) as own:
        yield own
    with database.connect(autocommit=True) as conn:
        run(conn, "drop owned by {role} cascade; drop role {role}", role=role)
