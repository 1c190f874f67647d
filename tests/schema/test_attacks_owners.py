"""The owner of a target, or a writer of it, against everybody else: what the first attack on the definers left open."""

import uuid

import pytest
from psycopg import sql

from pgpipe import errors
from pgpipe.db import Connection, Database
from pgpipe.schema import migrate
from pgpipe.settings.model import DatabaseSettings
from tests.conftest import also_on_16
from tests.fixtures.servers import Server
from tests.schema.attack import attacker, connect, plain_role, run
from tests.sql.support import claim, column, drain, embed, embedded_docs, sqlstate, value

ITEM = """
    create table {s}.item (id int primary key, title text, size int);
    insert into {s}.item values (1, 'okapi', 1);
    create function {s}.fire() returns trigger language plpgsql as $$ begin perform {s}.evil(1); return new; end $$;
    create type {s}.mood as enum ('sad', 'ok');
    create function {s}.t({s}.mood) returns int immutable language sql as $$ select {s}.evil(1)::int $$;
"""


@pytest.mark.parametrize(
    "code",
    [
        "create statistics {s}.st on (id + {s}.evil(1)::int) from {s}.item",
        (
            "alter table {s}.item enable row level security; create policy a on {s}.item using (true);"
            "create policy z on {s}.item using ({s}.evil(1))"
        ),
        (
            "alter table {s}.item enable row level security; create policy a on {s}.item using ({s}.evil(1));"
            "create policy z on {s}.item using (true)"
        ),
    ],
)
def test_code_that_a_lock_would_run(any_database: Database, conn: Connection, code: str) -> None:
    """K1: to lock rows plans a query: no statistics or policy runs a function of a user's with the owner's rights."""
    conn.execute("alter role pgpipe_queue nobypassrls")  # as where no superuser made it
    with attacker(any_database, allowed=("postgres",)) as own:
        run(own.conn, ITEM, s=own.schema)
        embedding = embed(conn, f"{own.schema}.item", ["title"])
        run(own.conn, code, s=own.schema)
        try:
            with plain_role(any_database, f"execute on function pgpipe_target.hold_keys_{embedding}") as worker:
                code = sqlstate(worker, f"select pgpipe_target.hold_keys_{embedding}('{{1}}', '{{\"(0,1)\"}}')")
        finally:
            conn.execute("alter role pgpipe_queue bypassrls")

        assert not own.caught()
        assert code == "42501"


@also_on_16
@pytest.mark.parametrize(
    "change",
    [
        (
            "create unique index on {s}.item_embedding_filter (size);"
            "create table {s}.g (size int references {s}.item_embedding_filter (size) on update cascade);"
            "insert into {s}.g values (1);"
            "create trigger t after update on {s}.g for each row execute function {s}.fire()"
        ),
        "create statistics {s}.st on (size + {s}.evil(1)::int) from {s}.item_embedding_filter",
        (
            "create cast ({s}.mood as int) with function {s}.t({s}.mood) as implicit;"
            "create table {s}.p (number int primary key); insert into {s}.p values (1);"
            "alter table {s}.item_embedding_filter add foreign key (mood) references {s}.p"
        ),
    ],
)
def test_what_a_filter_table_is_tied_to(any_database: Database, conn: Connection, change: str) -> None:
    """K1: foreign keys to and from a filter table, and statistics of it, take it out of service, unrun."""
    with attacker(any_database) as own:
        run(own.conn, ITEM + "alter table {s}.item add column mood {s}.mood default 'sad'", s=own.schema)
        drain(conn, embed(conn, f"{own.schema}.item", ["title"]))
        conn.execute("select pgpipe.enable_filters(%s, '{size,mood}')", (f"{own.schema}.item",))
        run(own.conn, change, s=own.schema)
        run(own.conn, "update {s}.item set size = 2, mood = 'ok'", s=own.schema)

        assert not own.caught()
        assert column(conn, "select filter_error from pgpipe.embedding") == [
            "it was altered, or the types of the target were"
        ]


@pytest.mark.parametrize(
    "change",
    [
        "create index on {s}.item_embedding (chunk) where {s}.evil(1)",
        "create statistics {s}.st on (chunk + {s}.evil(1)::int) from {s}.item_embedding",
        "alter table {s}.item_embedding drop column chunk cascade",
        "drop table {s}.item_embedding",
        "alter table {s}.item_embedding rename column chunk to piece",
        "drop table {s}.item cascade",
        "alter table {s}.item rename id to key",
    ],
)
def test_who_reads_a_status(any_database: Database, conn: Connection, change: str) -> None:
    """K4: what the owner does to a store runs nothing of his as the reader of a status, and the others keep theirs."""
    embedded_docs(conn)
    with attacker(any_database) as own:
        run(own.conn, ITEM, s=own.schema)
        drain(conn, embed(conn, f"{own.schema}.item", ["title"]))
        run(own.conn, change, s=own.schema)
        entities = column(conn, "select entity from pgpipe.embedding_status where coverage = 1")

        assert "doc" in entities
        assert not own.caught()


@pytest.mark.parametrize("key", ['{"id": "x"}', '{"id": 99999999999}'])
def test_a_key_that_does_not_fit(conn: Connection, key: str) -> None:
    """K1: a key that does not fit the table stops nobody: the other jobs are claimed, this one is dead."""
    embedding = embedded_docs(conn)
    conn.execute("update doc set title = 'other'")
    conn.execute("insert into pgpipe.job (embedding_id, key) values (%s, %s)", (embedding, key))
    assert claim(conn, embedding).ids == {1, 2, 3}
    assert column(conn, "select last_error from pgpipe.job where dead_at is not null") == [
        "it is not a key of its table"
    ]


@pytest.mark.parametrize(
    "change",
    [
        "alter table {s}.item rename id to key",
        (
            "drop trigger pgpipe_insert_1 on {s}.item;"
            "create constraint trigger pgpipe_insert_1 after insert on {s}.item"
            " for each row execute function {s}.fire()"
        ),
    ],
)
def test_a_target_that_cannot_be_shared(any_database: Database, conn: Connection, change: str) -> None:
    """K6: one target that its owner altered does not keep `pgpipe migrate` from the others."""
    with attacker(any_database) as own:
        run(own.conn, ITEM, s=own.schema)
        embed(conn, f"{own.schema}.item", ["title"])
        run(own.conn, change, s=own.schema)
        conn.execute("select count(*) from pgpipe_internal.grant_roles()")
        assert not own.caught()


def test_a_condition_that_was_written_by_hand(any_database: Database, conn: Connection) -> None:
    """K4: who may declare writes no condition past its check."""
    conn.execute("select pgpipe.create_roles()")
    with connect(any_database, "pgpipe_loader") as own:
        own.execute("create table thing (id int primary key, title text)")
        own.execute("create function evil() returns boolean language sql as 'select true'")
        own.execute("select pgpipe.enable_embedding('thing', '{title}', 'm', 3)")
        own.execute("create table copy (like thing_embedding including all)")
        code = sqlstate(
            own,
            "insert into pgpipe.embedding (target, name, store, key_columns, columns, template, condition, model, dims,"
            " active) values ('thing', 'x', 'copy', '{id}', '{title}', '{title}', 'public.evil()', 'm', 3, false)",
        )
    assert code == "PP003"


@pytest.mark.parametrize(
    "kind",
    [
        "create domain {s}.d as int; create type {s}.k as (a {s}.d)",
        "create domain {s}.d as int; create type {s}.k as range (subtype = {s}.d)",
    ],
)
def test_a_domain_within_a_key(any_database: Database, conn: Connection, kind: str) -> None:
    """K2: a domain within the type of a key runs no CHECK as a searcher."""
    with attacker(any_database) as own:
        run(own.conn, kind, s=own.schema)
        text = "'(1)'" if "(a" in kind else "'[1,2)'"
        run(own.conn, "create table {s}.item (id {s}.k primary key, title text)", s=own.schema)
        run(own.conn, "insert into {s}.item values ({v}, 'okapi')", s=own.schema, v=text)
        target = f"{own.schema}.item"
        conn.execute("select pgpipe.enable_search(%s, '{title=>A}')", (target,))
        run(own.conn, "alter domain {s}.d add constraint c check ({s}.evil(value)) not valid", s=own.schema)
        sqlstate(conn, "select * from pgpipe.text_search(%s, 'okapi')", target)
        assert not own.caught()


def test_an_array_of_domains_as_key(any_database: Database, conn: Connection) -> None:
    """K2: the same of an array."""
    with attacker(any_database) as own:
        run(own.conn, "create domain {s}.d as int", s=own.schema)
        run(own.conn, "create table {s}.item (id {s}.d[] primary key, title text)", s=own.schema)
        run(own.conn, "insert into {s}.item values ('{{1}}', 'okapi')", s=own.schema)
        target = f"{own.schema}.item"
        conn.execute("select pgpipe.enable_search(%s, '{title=>A}')", (target,))
        run(own.conn, "alter domain {s}.d add constraint c check ({s}.evil(value)) not valid", s=own.schema)
        sqlstate(conn, "select * from pgpipe.text_search(%s, 'okapi')", target)
        assert not own.caught()


def test_a_trigger_that_names_anothers_function(any_database: Database, conn: Connection) -> None:
    """K4: what is called the keeper of a search column is a function that pgpipe made."""
    run(conn, "create function audit() returns trigger language plpgsql as $$ begin return new; end $$")
    with attacker(any_database) as own:
        run(own.conn, ITEM, s=own.schema)
        target = f"{own.schema}.item"
        conn.execute("select pgpipe.enable_search(%s, '{title=>A}')", (target,))
        run(
            own.conn,
            "create trigger zzz_pgpipe_search_1 before insert on {s}.item"
            " for each row execute function public.audit('search')",
            s=own.schema,
        )
        conn.execute("select pgpipe.disable_search(%s)", (target,))
    assert value(conn, "select to_regproc('public.audit') is not null")


@also_on_16
def test_readers_under_row_security(any_database: Database, conn: Connection) -> None:
    """K4: a reader whom policies restrict reads no filter table, and no key where a sweep stands."""
    conn.execute("select pgpipe.create_roles()")
    embedding = embedded_docs(conn)
    run(conn, "alter table doc enable row level security; create policy p on doc to pgpipe_reader using (id = 1)")
    conn.execute("select pgpipe.enable_filters('doc', '{size}')")
    with connect(any_database, "pgpipe_reader") as own:
        assert value(own, "select count(*) from doc") == 1
        codes = [
            sqlstate(own, f"select * from {table}")
            for table in ("doc_embedding_filter", "pgpipe.reconciliation", "pgpipe.job", "pgpipe.rejected_row")
        ]
        assert codes == ["42501"] * 4
    assert embedding


@also_on_16
def test_a_schema_that_was_there_before(server: Server) -> None:
    """K6: who may create a schema calls it pgpipe, with tables that wait for a superuser's migrate: he is refused."""
    name = f"squat_{uuid.uuid4().hex[:12]}"
    server.create(name)
    database = Database(DatabaseSettings(url=server.at(name)))
    try:
        with attacker(database) as own, database.connect(autocommit=True) as conn:
            run(conn, "drop schema if exists pgpipe cascade; drop schema if exists pgpipe_staging cascade")
            run(conn, "grant create on database {d} to {r}", d=name, r=own.role)
            run(
                own.conn,
                "create schema pgpipe; create function pgpipe.schema_version(out version int, out oldest int)"
                " language sql as $$ select 3, 3 where {s}.evil(1) $$",
                s=own.schema,
            )
            with pytest.raises(errors.UsageError, match=f"the schema pgpipe belongs to {own.role}"):
                migrate(database)

            assert not own.caught()
            run(conn, "drop schema pgpipe cascade")
            migrate(database)
    finally:
        server.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
