"""The triggers of a target run as the role of the queue: nobody makes them write another key, or run another's code."""

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.schema.attack import EVIL_TYPES, Attacker, attacker, plain_role, run
from tests.sql.support import column, embed, embedded_docs, job, jobs, sqlstate, value

WRITES = (
    "insert into {t} (id, title) values ('3', 'a')",
    "insert into {t} (id, title) select n::text::{k}, 'a' from generate_series(4, 4) n",
    "update {t} set title = 'b'",
    "delete from {t} where id = '2'",
)
KEYS = {
    "enqueue_keys": 'select {s}.enqueue_keys({e}, \'{{"{{\\"id\\": 1}}"}}\', false)',
    "forget_keys": 'select {s}.forget_keys({e}, \'{{"{{\\"id\\": 1}}"}}\')',
    "insert": "insert into pgpipe.job (embedding_id, key) values ({e}, '{{\"id\": 1}}')",
}


def write(own: Attacker, target: str, kind: str = "int") -> None:
    """Each kind of statement, by the owner."""
    for statement in WRITES:
        run(own.conn, statement, t=target, k=kind)


@pytest.mark.parametrize("call", KEYS)
@pytest.mark.parametrize("schema", ["pgpipe", "pgpipe_internal"])
def test_a_writer_names_no_key(any_database: Database, conn: Connection, schema: str, call: str) -> None:
    """K1: a role that writes one row enqueues that row and no other: others who update theirs do not wait for it."""
    embedding = embedded_docs(conn)
    with plain_role(any_database, "insert, update, delete on doc") as own:
        own.execute("begin; insert into doc values (9, 'a', 'b', 1); savepoint s")
        assert sqlstate(own, KEYS[call].format(s=schema, e=embedding)) in {"42501", "42883"}
        own.execute("rollback to s")
        conn.execute("set lock_timeout = '2s'")
        conn.execute("update doc set title = 'other' where id = 1")
        own.execute("commit")

    assert jobs(conn, embedding) == {'{"id": 1}': 1, '{"id": 9}': 1}


def test_a_delete_that_is_rolled_back(any_database: Database, conn: Connection) -> None:
    """K1: who deletes a row and takes it back takes no job away."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'other' where id = 1")
    before = job(conn, embedding, '{"id": 1}')["gen"]
    with plain_role(any_database, "select, delete on doc") as own:
        own.execute("begin; delete from doc where id = 1; rollback")

    assert job(conn, embedding, '{"id": 1}')["gen"] == before


@pytest.mark.parametrize("changed", ["id", "size", "title"])
def test_a_column_that_is_retyped(any_database: Database, conn: Connection, changed: str) -> None:
    """K1: a column that has got a type of its owner's runs no cast, operator or output of it; the write succeeds."""
    with attacker(any_database) as own:
        run(own.conn, EVIL_TYPES, s=own.schema)
        target = f"{own.schema}.item"
        embedding = embed(conn, target, ["title"], condition="size > 0 or size is null")
        conn.execute("delete from pgpipe.job")
        write(own, target)  # plans are made
        run(own.conn, "delete from {t} where id in (3, 4)", t=target)
        using = "case when {c}::text = 'gnu' then '2' when {c}::text = '2' then '2' else '1' end::{s}.mood"
        run(own.conn, "alter table {t} alter {c} type {s}.mood using " + using, t=target, c=changed, s=own.schema)
        conn.execute("delete from pgpipe.job")
        run(own.conn, "insert into {t} select '3', title, size from {t} limit 1", t=target)
        run(own.conn, "update {t} set title = null", t=target)
        conn.execute("select pgpipe_internal.render_triggers(%s)", (embedding,))
        run(own.conn, "insert into {t} select '4', title, size from {t} limit 1", t=target)
        run(own.conn, "update {t} set title = (select title from {t} limit 1)", t=target)
        run(own.conn, "delete from {t}", t=target)

        assert not own.caught()
        assert value(conn, "select count(*) from pgpipe.job") > 0


@pytest.mark.parametrize(
    "condition",
    [
        "{s}.evil(size)",
        "'(x)'::{s}.pair is not null",
        "'{{x}}'::{s}.word[] is not null",
        "'(x)'::pg_temp.pair is not null",
        "pair '(x)' is not null",
        "'(x)'::pair is not null",
        "abs(1) '(x)' is not null",
        "pg_input_is_valid(title, '{s}.word')",
        "domain_in('x', '{s}.word'::regtype, -1) is not null",
        "table_to_xml('{s}.shown', true, true, '') is not null",
        "(select {s}.evil(1))",
        "size operator({s}.>) 1",
        "true) t), lateral (select {s}.evil(1)",
        "title <> '\\' and title <> ' or {s}.evil(1) or title <> '",
    ],
)
def test_a_condition_that_is_forged(any_database: Database, conn: Connection, condition: str) -> None:
    """K4: a condition that was written past its check is not computed by the triggers, nor read as SQL."""
    with attacker(any_database) as own:
        run(own.conn, EVIL_TYPES, s=own.schema)
        run(own.conn, "create view {s}.shown as select {s}.evil(1)", s=own.schema)
        target = f"{own.schema}.item"
        embedding = embed(conn, target, ["title"], condition="size > 0")
        run(conn, "grant select, update on pgpipe.embedding to {role}", role=own.role)
        own.conn.execute("set standard_conforming_strings = off")
        for name in ("pair", "abs"):
            run(own.conn, "create type pg_temp.{n} as (word {s}.word)", n=name, s=own.schema)
        own.conn.execute("update pgpipe.embedding set condition = %s", (condition.format(s=own.schema),))
        conn.execute("delete from pgpipe.job")
        own.conn.execute("select pgpipe_internal.render_triggers(%s)", (embedding,))
        run(own.conn, "insert into {t} values (3, 'a', 1)", t=target)
        run(own.conn, "update {t} set title = 'b' where id = 1", t=target)
        run(own.conn, "delete from {t} where id = 2", t=target)

        assert not own.caught()
        assert jobs(conn, embedding) == {'{"id": 1}': 1, '{"id": 2}': 1, '{"id": 3}': 1}


@also_on_16
def test_a_table_of_the_session(any_database: Database, conn: Connection) -> None:
    """K1: an owner who keeps the right to make triggers makes one that reads a view of his session: it runs nothing."""
    with attacker(any_database) as own:
        run(own.conn, EVIL_TYPES, s=own.schema)
        target = f"{own.schema}.item"
        embedding = embed(conn, target, ["title"])
        conn.execute("select pgpipe.enable_filters(%s, '{size}')", (target,))
        own.conn.execute("select pgpipe_internal.lend_triggers(%s, true)", (embedding,))
        view = "create temporary view {v} as select 1 as id, {s}.evil_text(1) as title, 1 as size"
        run(own.conn, view, s=own.schema, v="new_rows")
        run(own.conn, view, s=own.schema, v="old_rows")
        made = "create trigger z{f} after {v} on {t} for each row execute function pgpipe_target.{f}_{e}()"
        for event in ("insert", "update", "delete"):
            run(own.conn, made, f=event, v=event, t=target, e=str(embedding))
        for function in ("copy_filters", "copy_vectors"):
            run(own.conn, made, f=function, v="update", t=target, e=str(embedding))
        write(own, target)

        assert not own.caught()
        assert column(conn, "select distinct sqlstate from pgpipe.missed") == ["42P07"]
        assert column(conn, "select filter_error is not null from pgpipe.embedding") == [True]


def test_a_function_on_another_table(any_database: Database, conn: Connection) -> None:
    """K1: on a table with columns of other types, a trigger function reads nothing, and the write succeeds."""
    with attacker(any_database) as own:
        run(own.conn, EVIL_TYPES, s=own.schema)
        embedding = embed(conn, f"{own.schema}.item", ["title"], condition="size > 0")
        conn.execute("delete from pgpipe.job")
        own.conn.execute("select pgpipe_internal.lend_triggers(%s, true)", (embedding,))
        target = f"{own.schema}.other"
        columns = "id {s}.mood primary key, title {s}.mood, size {s}.mood"
        run(own.conn, "create table {t} (" + columns + ")", t=target, s=own.schema)
        for event, tables in (("insert", "new"), ("update", "old table as old_rows new"), ("delete", "old")):
            run(
                own.conn,
                "create trigger z{v} after {v} on {t} referencing {r} table as {n}_rows"
                " for each statement execute function pgpipe_target.{v}_{e}()",
                v=event,
                t=target,
                r=tables,
                n=tables.rsplit(maxsplit=1)[-1],
                e=str(embedding),
            )
        run(own.conn, "insert into {t} values ('1', '1', '1'), ('2', '2', '2')", t=target)
        run(own.conn, "update {t} set title = '3'", t=target)
        run(own.conn, "delete from {t}", t=target)

        assert not own.caught()
        assert jobs(conn, embedding) == {}
        assert column(conn, "select sqlstate from pgpipe.missed") == []


def test_nobody_borrows_for_another(any_database: Database, conn: Connection) -> None:
    """K1: who does not own the target gets no trigger function, whatever he calls."""
    embedding = embedded_docs(conn)
    with attacker(any_database) as own:
        run(own.conn, "create table {s}.mine (id int)", s=own.schema)
        own.conn.execute("select pgpipe_internal.lend_triggers(%s, true)", (embedding,))
        statement = "create trigger t after insert on {}.mine execute function pgpipe_target.insert_{}()"
        assert sqlstate(own.conn, statement.format(own.schema, embedding)) == "42501"
