"""Columns that are named or retyped so that somebody else would run them, and a former owner."""

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.schema.attack import EVIL_TYPES, attacker, run
from tests.sql.support import column, embed, jobs, sqlstate, value

JSON_CAST = """
    create type {s}.mood as enum ('1');
    create function {s}.j({s}.mood) returns json language sql as $$ select to_json({s}.evil_text(1)) $$;
    create cast ({s}.mood as json) with function {s}.j({s}.mood);
"""
NAMED_AS_A_FUNCTION = {
    "text": ("id int primary key, to_json text, mood {s}.mood", "to_json", None),
    "key": ("id int, to_json {s}.mood primary key, mood {s}.mood, title text", "title", None),
    "condition": ("id int primary key, to_json json, mood {s}.mood, title text", "title", "to_json is not null"),
}


@pytest.mark.parametrize("used", NAMED_AS_A_FUNCTION)
def test_a_column_that_is_named_as_a_function(any_database: Database, conn: Connection, used: str) -> None:
    """K1: if a column is gone that was named as a function, nothing calls that function: to_json runs users' casts."""
    columns, column_of_text, condition = NAMED_AS_A_FUNCTION[used]
    with attacker(any_database) as own:
        run(own.conn, JSON_CAST, s=own.schema)
        target = f"{own.schema}.item"
        run(own.conn, "create table {t} (" + columns + ")", t=target, s=own.schema)
        embed(conn, target, [column_of_text], condition=condition)
        run(own.conn, "alter table {t} rename to_json to other", t=target)
        run(own.conn, "insert into {t} (id, other, mood) values (1, {v}, '1')", t=target, v="'1'")
        run(own.conn, "update {t} set id = 2", t=target)
        run(own.conn, "delete from {t}", t=target)

        assert not own.caught()
        assert column(conn, "select distinct sqlstate from pgpipe.missed") == ["42703"]
        if used == "text":
            assert sqlstate(conn, f"select * from pgpipe.embedding_drift('{target}')") == "PP002"
            assert not own.caught()


@also_on_16
def test_a_condition_whose_column_is_retyped(any_database: Database, conn: Connection) -> None:
    """K1: a condition whose column has got a type of a user's is not computed, also for a worker or a superuser."""
    with attacker(any_database) as own:
        run(own.conn, EVIL_TYPES, s=own.schema)
        target = f"{own.schema}.item"
        embedding = embed(conn, target, ["title"], condition="size > 0")
        run(own.conn, "alter table {t} alter size type {s}.mood using '1'::{s}.mood", t=target, s=own.schema)
        for _ in range(2):
            for statement in (
                f"select * from pgpipe_target.claim_{embedding}(9, 'w', gen_random_uuid())",
                f"select * from pgpipe_target.reconcile_{embedding}(null, 9)",
                f"select * from pgpipe.embedding_drift('{target}')",
            ):
                assert sqlstate(conn, statement) == "PP003", statement
            conn.execute("select pgpipe_internal.render_triggers(%s)", (embedding,))

        assert not own.caught()


def test_a_condition_with_a_keyword_for_a_column(any_database: Database, conn: Connection) -> None:
    """K4: a column named select makes no subquery plain; a view of the session is not read. A test for null is."""
    with attacker(any_database) as own:
        target = f"{own.schema}.item"
        run(own.conn, 'create table {t} (id int primary key, title text, "select" int, v int)', t=target)
        embedding = embed(conn, target, ["title"], condition="v is null")
        assert value(conn, "select pgpipe_internal.plain_columns(target, condition) from pgpipe.embedding") == ["v"]
        run(own.conn, "create temporary view v as select {s}.evil(1)::int as v", s=own.schema)
        run(own.conn, "grant select on v to public")
        run(conn, "grant select, update on pgpipe.embedding to {role}", role=own.role)
        own.conn.execute("update pgpipe.embedding set condition = '(select v from v) = 1'")
        own.conn.execute("select pgpipe_internal.render_triggers(%s)", (embedding,))
        run(own.conn, "insert into {t} values (1, 'a')", t=target)

        assert not own.caught()
        assert jobs(conn, embedding) == {'{"id": 1}': 1}


@also_on_16
def test_a_former_owner(any_database: Database, conn: Connection) -> None:
    """K1: who kept the right to make triggers, and no longer owns the target, enqueues no row of it."""
    with attacker(any_database) as own:
        run(own.conn, EVIL_TYPES, s=own.schema)
        embedding = embed(conn, f"{own.schema}.item", ["title"])
        conn.execute("delete from pgpipe.job")
        own.conn.execute("select pgpipe_internal.lend_triggers(%s, true)", (embedding,))
        run(conn, "alter table {s}.item owner to current_user", s=own.schema)
        run(own.conn, "create table {s}.mine (id int primary key, title text, size int)", s=own.schema)
        for event, tables in (("insert", "new"), ("update", "old table as old_rows new"), ("delete", "old")):
            run(
                own.conn,
                "create trigger z{v} after {v} on {s}.mine referencing {r} table as {n}_rows"
                " for each statement execute function pgpipe_target.{v}_{e}()",
                v=event,
                s=own.schema,
                r=tables,
                n=tables.rsplit(maxsplit=1)[-1],
                e=str(embedding),
            )
        run(own.conn, "insert into {s}.mine values (1, 'a', 1)", s=own.schema)
        run(own.conn, "update {s}.mine set title = 'b'", s=own.schema)
        run(own.conn, "delete from {s}.mine", s=own.schema)

        assert jobs(conn, embedding) == {}
        assert column(conn, "select * from pgpipe.missed") == []
