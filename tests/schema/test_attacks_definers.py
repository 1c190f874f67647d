"""Functions with their owner's rights: whoever may only connect, insert or own a table gets nothing from them."""

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.schema.attack import attacker, connect, plain_role, run
from tests.sql.support import column, drain, embed, embedded_docs, job, jobs, make_docs, sqlstate, value

DENIED = "42501"
TYPES = ("text", "name", "bytea", "tid", "oid", "regclass", "jsonb", "int4", "int8", "bool", "uuid", "timestamptz")
DOMAIN = "create domain pg_temp.{type} as pg_catalog.{type} check ({schema}.evil(value::pg_catalog.text))"
WRITES = (
    "insert into public.doc values (100, 'a', 'b', 1)",
    "update public.doc set title = 'x', size = 9 where id = 1",
    "delete from public.doc where id = 2",
)
CALLS = (
    "select pgpipe_internal.note_missed({e}, '42703')",
    "select pgpipe_internal.suspend_copy({e}, 'x')",
    "select pgpipe_internal.note_fingerprint({e}, 'x')",
    "select pgpipe_target.hold_keys_{e}('{{1}}', '{{\"(0,1)\"}}')",
)


@also_on_16
def test_types_of_the_session(any_database: Database, conn: Connection) -> None:
    """K1: domains in pg_temp, called as PostgreSQL's types, run for nobody but the one who made them."""
    embedded_docs(conn)
    conn.execute("select pgpipe.enable_filters('doc', '{size}'); select pgpipe.keep_ledger('doc', 'doc')")
    with attacker(any_database) as own:
        run(conn, "grant select, insert, update, delete, truncate on doc to {role}", role=own.role)
        for type_ in TYPES:
            run(own.conn, DOMAIN, type=type_, schema=own.schema)
        own.conn.execute("set search_path = pg_temp, pg_catalog, public")
        for write in WRITES:
            own.conn.execute(write.encode())

        assert not own.caught()
        assert value(conn, "select not rolsuper from pg_roles where rolname = %s", own.role)


def test_only_inserting_enqueues(any_database: Database, conn: Connection) -> None:
    """A role that may INSERT, and has no right in the schema pgpipe, gets its rows embedded."""
    make_docs(conn)
    embedding = embed(conn)
    with plain_role(any_database, "insert on doc") as own:
        own.execute("insert into doc values (1, 'a', 'b', 1), (2, 'c', 'd', 2)")
        own.execute("insert into doc select n, 'a', 'b', 1 from generate_series(10, 2010) n")

        assert len(jobs(conn, embedding)) == 2003
        assert sqlstate(own, "select * from pgpipe.job") == DENIED
        assert sqlstate(own, "select * from pgpipe.embedding") == DENIED


def test_a_session_without_row_security(any_database: Database, conn: Connection) -> None:
    """A writer whose session has row_security off, as pg_restore's, is not stopped where no superuser migrated."""
    embedding = embedded_docs(conn)
    conn.execute("alter role pgpipe_queue nobypassrls")
    try:
        with plain_role(any_database, "insert on doc") as own:
            own.execute("set row_security = off")
            own.execute("insert into doc values (9, 'a', 'b', 1)")
    finally:
        conn.execute("alter role pgpipe_queue bypassrls")

    assert jobs(conn, embedding) == {'{"id": 9}': 1}


@also_on_16
@pytest.mark.parametrize("call", CALLS)
def test_who_wrote_nothing_calls_in_vain(any_database: Database, conn: Connection, call: str) -> None:
    """K1: what is open to a writer's trigger does nothing for a role that only connects, also after a PREPARE."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'other' where id = 1")
    with plain_role(any_database) as own:
        own.execute("begin; prepare forged as insert into public.doc values (9, 'a', 'b', 1)")
        assert sqlstate(own, call.format(e=embedding)) == DENIED
        own.execute("rollback")

    assert job(conn, embedding, '{"id": 1}')["gen"] == 1
    assert column(conn, "select filter_error from pgpipe.embedding") == [None]


def test_rendering_gives_nobody_anything(any_database: Database, conn: Connection) -> None:
    """K1: whoever calls what renders changes nothing, makes nothing, and may not use a rendered function."""
    embedding = embedded_docs(conn)
    seen = """
        select oid, prosrc, proowner, proacl::text from pg_proc where pronamespace = 'pgpipe_target'::regnamespace
         order by oid
    """
    before = conn.execute(seen).fetchall()
    with plain_role(any_database) as own:
        own.execute(
            "select pgpipe_internal.render_triggers(%(e)s), pgpipe_internal.render_queue(%(e)s),"
            " pgpipe_internal.lend_triggers(%(e)s, false)",
            {"e": embedding},
        )
        assert conn.execute(seen).fetchall() == before
        own.execute("create temporary table mine (id int)")
        for statement in (
            "create function pgpipe_target.mine() returns int language sql return 1",
            f"create trigger t after insert on mine execute function pgpipe_target.insert_{embedding}()",
            "insert into pgpipe.template values ('insert', '')",
            "select pgpipe_internal.drop_rendered()",
            "delete from pgpipe.missed",
        ):
            assert sqlstate(own, statement) == DENIED, statement


def test_a_writer_through_a_view(any_database: Database, conn: Connection) -> None:
    """Whoever writes through a view, with no right on the table below it, is not stopped, and the row is enqueued."""
    make_docs(conn)
    embedding = embed(conn)
    conn.execute("create view shown as select * from doc")
    with plain_role(any_database, "insert, update, delete, select on shown") as own:
        own.execute("insert into shown values (1, 'a', 'b', 1)")
        own.execute("update shown set title = 'x' where id = 1")
        assert jobs(conn, embedding) == {'{"id": 1}': 2}
        own.execute("delete from shown")

    assert jobs(conn, embedding) == {'{"id": 1}': 3}


def test_rows_of_partitions_and_children(any_database: Database, conn: Connection) -> None:
    """What a transaction wrote is counted for the partition that the row went to."""
    run(conn, "create table doc (id int primary key, title text, body text) partition by range (id)")
    run(conn, "create table low partition of doc for values from (0) to (100) partition by range (id)")
    run(conn, "create table lowest partition of low for values from (0) to (100)")
    embedding = embed(conn)
    with plain_role(any_database, "insert on doc") as own:
        own.execute("insert into doc values (1, 'a', 'b')")

    assert jobs(conn, embedding) == {'{"id": 1}': 1}


HOSTILE = """
    create type {s}.mood as enum ('sad', 'ok');
    create function {s}.j({s}.mood) returns json language sql as $$ select to_json({s}.evil_text(1)) $$;
    create function {s}.t({s}.mood) returns text language sql as $$ select {s}.evil_text(1) $$;
    create function {s}.m(text) returns {s}.mood language sql as $$ select 'ok'::{s}.mood where {s}.evil(1) $$;
    create function {s}.op({s}.mood, {s}.mood) returns boolean language sql as $$ select {s}.evil(1) $$;
    create operator {s}.= (function = {s}.op, leftarg = {s}.mood, rightarg = {s}.mood);
    create cast ({s}.mood as json) with function {s}.j({s}.mood);
    create cast ({s}.mood as text) with function {s}.t({s}.mood) as assignment;
    create cast (text as {s}.mood) with function {s}.m(text) as assignment;
    create domain {s}.word as text;
    create table {s}.item (id {s}.mood primary key, title text, w {s}.word, size int);
    insert into {s}.item values ('sad', 'okapi', 'x', 1);
"""


@also_on_16
def test_a_hostile_owner(any_database: Database, conn: Connection) -> None:
    """K1: the owner of a target, of its types, casts and operators, gets nobody's rights but a writer's."""
    with attacker(any_database) as own:
        run(own.conn, HOSTILE, s=own.schema)
        target = f"{own.schema}.item"
        embedding = embed(conn, target, ["title", "w"])
        conn.execute("select pgpipe.enable_filters(%s, '{size}')", (target,))
        run(own.conn, "alter domain {s}.word add constraint c check ({s}.evil(value)) not valid", s=own.schema)

        run(own.conn, "insert into {s}.item values ('ok', 'a', 'b', 1)", s=own.schema)
        run(own.conn, "update {s}.item set size = 2, title = 'c'", s=own.schema)
        drain(conn, embedding)
        conn.execute("update pgpipe.job set visible_at = now()")
        for read in ("pgpipe.embedding_status", "pgpipe.queue_status", "pgpipe.embedding_drift(%s)"):
            conn.execute(f"select * from {read}".encode(), (target,) if "%s" in read else ())
        conn.execute("select pgpipe_internal.reconcile_rows(%s)", (embedding,))
        conn.execute("select count(*) from pgpipe_internal.grant_roles()")

        assert jobs(conn, embedding) == {}
        assert not own.caught()


def test_code_in_an_index(any_database: Database, conn: Connection) -> None:
    """K1: to plan a query computes an index's predicate, so no function with its owner's rights does it."""
    with attacker(any_database, allowed=("postgres",)) as own:
        run(own.conn, "create table {s}.item (id int primary key, title text)", s=own.schema)
        run(own.conn, "insert into {s}.item values (1, 'okapi')", s=own.schema)
        embedding = embed(conn, f"{own.schema}.item", ["title"])
        run(own.conn, "create index on {s}.item (id) where {s}.evil(1)", s=own.schema)
        with plain_role(any_database, f"execute on function pgpipe_target.hold_keys_{embedding}") as worker:
            code = sqlstate(worker, f"select pgpipe_target.hold_keys_{embedding}('{{1}}', '{{\"(0,1)\"}}')")

        assert code == DENIED
        assert not own.caught()


@also_on_16
def test_a_filter_table_that_was_altered(any_database: Database, conn: Connection) -> None:
    """K1: a trigger, CHECK or index that an owner put on a filter table takes it out of service, unrun."""
    changes = (
        "create trigger t before update on {s}.item_embedding_filter for each row execute function {s}.fire()",
        "alter table {s}.item_embedding_filter add check ({s}.evil(size))",
        "create index on {s}.item_embedding_filter (({s}.evil(size)))",
    )
    for change in changes:
        with attacker(any_database) as own:
            run(own.conn, "create table {s}.item (id int primary key, title text, size int)", s=own.schema)
            run(own.conn, "insert into {s}.item values (1, 'okapi', 1)", s=own.schema)
            run(
                own.conn,
                "create function {s}.fire() returns trigger language plpgsql as"
                " $$ begin perform {s}.evil(1); return new; end $$",
                s=own.schema,
            )
            drain(conn, embed(conn, f"{own.schema}.item", ["title"]))
            conn.execute("select pgpipe.enable_filters(%s, '{size}')", (f"{own.schema}.item",))
            run(own.conn, change, s=own.schema)
            run(own.conn, "update {s}.item set size = 2", s=own.schema)

            assert column(conn, "select filter_error from pgpipe.embedding") == [
                "it was altered, or the types of the target were"
            ]
            assert not own.caught()
            conn.execute("select pgpipe.disable_embedding(%s)", (f"{own.schema}.item",))


@pytest.mark.parametrize(
    "condition",
    [
        "{s}.evil(size)",
        "(id::text = 'ok')",
        "(title::{s}.word = 'x')",
        "random() < 2",
        "pg_input_is_valid(title, '{s}.word')",
        "domain_in('x', '{s}.word'::regtype, -1) is not null",
        "array_in('{{x}}', '{s}.word'::regtype, -1) is not null",
        "exists (select 1)",
        "query_to_xml('select 1', true, true, '') is not null",
        "table_to_xml('{s}.item', true, true, '') is not null",
    ],
)
def test_conditions(any_database: Database, conn: Connection, condition: str) -> None:
    """K4: a condition has no function or type of a user's, no volatile function and no subquery: PP003, unrun."""
    with attacker(any_database) as own:
        run(own.conn, HOSTILE, s=own.schema)
        call = "select pgpipe.enable_embedding(%s, '{title}', 'fake', 3, condition => %s)"

        assert sqlstate(conn, call, f"{own.schema}.item", condition.format(s=own.schema)) == "PP003"
        assert not own.caught()


@also_on_16
def test_declarations_that_are_forged(any_database: Database, conn: Connection) -> None:
    """K4: who may declare makes no row about a table of another's, and calls no table a store that is none."""
    run(conn, "create schema hr; create table hr.payroll (id int primary key, salary int)")
    embedding = embedded_docs(conn)
    conn.execute("select pgpipe.create_roles()")
    conn.execute("alter table doc owner to pgpipe_loader; alter table doc_embedding owner to pgpipe_loader")
    with connect(any_database, "pgpipe_loader") as own:
        forged = {
            "update pgpipe.embedding set filter_table = 'hr.payroll'": DENIED,
            "update pgpipe.embedding set store = 'hr.payroll'": DENIED,
            "update pgpipe.embedding set target = 'hr.payroll'": DENIED,
            "update pgpipe.search set target = 'hr.payroll'": DENIED,
            "insert into pgpipe.search (target, weights, language) values ('hr.payroll', '{}', 'english')": DENIED,
            "insert into pgpipe.search_fill (target, column_name, weights, language)"
            " values ('hr.payroll', 'salary', '{}', 'english')": DENIED,
            "insert into pgpipe.embedding (target, name, store, key_columns, columns, template, model, dims)"
            " values ('hr.payroll', 'x', 'doc_embedding', '{id}', '{id}', '', 'm', 3)": DENIED,
            "insert into pgpipe.embedding (target, name, store, key_columns, columns, template, model, dims)"
            " values ('doc', 'x', 'hr.payroll', '{id}', '{id}', '', 'm', 3)": DENIED,
        }
        assert {statement: sqlstate(own, statement) for statement in forged} == forged
    conn.execute("select count(*) from pgpipe_internal.grant_roles()")

    owner = "select relowner::regrole::text, relacl is null from pg_class where oid = 'hr.payroll'::regclass"
    assert conn.execute(owner).fetchone() == ("postgres", True)
    assert value(conn, "select count(*) from pgpipe.embedding where embedding_id = %s", embedding) == 1


@pytest.mark.parametrize("role", ["pgpipe_loader", "pgpipe_embedder", "pgpipe_reader"])
def test_no_role_gets_at_another_table(any_database: Database, conn: Connection, role: str) -> None:
    """K4: none of the three reads or owns hr.payroll, or becomes a superuser, whatever it calls."""
    run(conn, "create schema hr; create table hr.payroll (id int primary key, title text)")
    conn.execute("select pgpipe.create_roles()")
    calls = (
        "select pgpipe.enable_search('hr.payroll', '{title=>A}')",
        "select pgpipe.enable_embedding('hr.payroll', '{title}', 'm', 3)",
        "select pgpipe_internal.grant_target('hr.payroll')",
        "select pgpipe_internal.drop_table('hr.payroll')",
        "select pgpipe.keep_ledger('hr.payroll', 'payroll')",
        "select pgpipe_internal.watch('hr.payroll')",
        "select * from hr.payroll",
        "alter role current_user superuser",
        "set role postgres",
        "set role pgpipe_queue",
    )
    with connect(any_database, role) as own:
        for call in calls:
            sqlstate(own, call)
    conn.execute("select count(*) from pgpipe.create_roles()")

    assert value(conn, "select to_regclass('hr.payroll') is not null")
    seen = "select has_schema_privilege(%s, 'hr', 'usage') or has_table_privilege(%s, 'hr.payroll', 'select')"
    assert not value(conn, seen, role, role)
    assert not value(conn, "select rolsuper from pg_roles where rolname = %s", role)
