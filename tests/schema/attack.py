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


EVIL_TYPES = """
    create table {s}.item (id int primary key, title text, size int);
    insert into {s}.item values (1, 'okapi', 1), (2, 'gnu', 2);
    create type {s}.mood as enum ('1', '2', '3', '4');
    create function {s}.j({s}.mood) returns json language sql as $$ select to_json({s}.evil_text(1)) $$;
    create function {s}.i({s}.mood) returns int language sql as $$ select 1 where {s}.evil(1) $$;
    create function {s}.t({s}.mood) returns text language sql as $$ select {s}.evil_text(1) $$;
    create function {s}.m(int) returns {s}.mood language sql as $$ select '1'::{s}.mood $$;
    create cast ({s}.mood as json) with function {s}.j({s}.mood);
    create cast ({s}.mood as int) with function {s}.i({s}.mood) as implicit;
    create cast ({s}.mood as text) with function {s}.t({s}.mood) as implicit;
    create function {s}.op({s}.mood, int) returns boolean language sql as $$ select {s}.evil(1) $$;
    create operator {s}.> (function = {s}.op, leftarg = {s}.mood, rightarg = int);
    create domain {s}.word as text check ({s}.evil(value));
    create type {s}.pair as (word {s}.word);
    create function {s}.fire() returns trigger language plpgsql as $$ begin perform {s}.evil(1); return null; end $$;
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
