"""Operators and casts of somebody else's: a search, a load and a trigger never run them."""

import json

import pytest

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.schema.attack import attacker, run
from tests.sql.support import column, drain, embed, value

TYPES = {"varchar": "'a'", "text": "'a'", "bpchar": "'a'", "int": "1", "date": "'2026-01-01'", "text[]": "'{a}'"}
MAKE = """
    create table item (id int primary key, title text, c {type});
    insert into item values (1, 'okapi', {value}), (2, 'okapi', null);
    select pgpipe.enable_search('item', '{{title=>A}}')
"""
OPERATORS = """
    create or replace function {schema}.op({type}, {type}) returns boolean language sql as
        $$ select {schema}.evil(1) and null $$;
    create operator {into}.= (function = {schema}.op, leftarg = {type}, rightarg = {type});
    create operator {into}.< (function = {schema}.op, leftarg = {type}, rightarg = {type});
"""
SEARCHES = (
    "select key from pgpipe.text_search('item', 'okapi', 10, %s)",
    "select key from pgpipe.vector_search('item', '[1,0,0]', 10, %s)",
    "select key from pgpipe.hybrid_search('item', 'okapi', '[1,0,0]', 10, %s)",
)


def search(conn: Connection, wanted: object) -> None:
    """A filtered search of each kind finds the first row."""
    for query in SEARCHES:
        assert column(conn, query, json.dumps({"c": wanted})) == [{"id": 1}], query


@pytest.mark.parametrize("type_", TYPES)
def test_an_operator_of_somebody_else(any_database: Database, conn: Connection, type_: str) -> None:
    """K2: a filter means the operator of its type's default operator class, whatever others of that name there are."""
    run(conn, MAKE, type=type_, value=TYPES[type_])
    drain(conn, embed(conn, "item", ["title"]))
    wanted = value(conn, "select to_jsonb(c) from item where id = 1")
    with attacker(any_database) as own:
        for into in ("pg_temp", own.schema):
            run(own.conn, OPERATORS, schema=own.schema, into=into, type=type_)
        conn.execute(f"set search_path = {own.schema}, public".encode())

        for where in (wanted, [wanted], {"gte": wanted}):
            search(conn, where)

        assert not own.caught()


@also_on_16
def test_types_of_somebody_else(any_database: Database, conn: Connection) -> None:
    """K2: nor operators, casts and domains of the type's own owner; what a search returns is text then."""
    with attacker(any_database) as own:
        run(
            own.conn,
            """
            create type {s}.mood as enum ('sad', 'ok');
            create function {s}.op({s}.mood, {s}.mood) returns boolean language sql as $$ select {s}.evil(1) $$;
            create operator {s}.= (function = {s}.op, leftarg = {s}.mood, rightarg = {s}.mood);
            create function {s}.j({s}.mood) returns json language sql as $$ select to_json({s}.evil_text(1)) $$;
            create function {s}.t({s}.mood) returns text immutable language sql as $$ select {s}.evil_text(1) $$;
            create function {s}.m(text) returns {s}.mood language sql as $$ select 'ok'::{s}.mood where {s}.evil(1) $$;
            create cast ({s}.mood as json) with function {s}.j({s}.mood);
            create cast ({s}.mood as text) with function {s}.t({s}.mood) as assignment;
            create cast (text as {s}.mood) with function {s}.m(text) as assignment;
            create domain {s}.short as text;
            create table {s}.item (id {s}.mood primary key, title text, c {s}.short, d {s}.mood[]);
            insert into {s}.item values ('ok', 'okapi', 'x', '{{sad}}');
            alter domain {s}.short add constraint c check ({s}.evil(value)) not valid;
            """,
            s=own.schema,
        )
        target = f"{own.schema}.item"
        conn.execute("select pgpipe.enable_search(%s, '{title=>A}')", (target,))
        drain(conn, embed(conn, target, ["title"]))
        for query in SEARCHES:
            for where in ({"id": "ok"}, {"id": ["ok"]}, {"d": "sad"}, {"c": "x"}):
                found = column(conn, query.replace("'item'", f"'{target}'"), json.dumps(where))
                assert found == [{"id": "ok"}], (query, where)
        row = value(conn, "select \"row\" from pgpipe.text_search(%s, 'okapi', options => '{\"row\": true}')", target)
        assert row == {"id": "ok", "title": "okapi", "c": "x", "d": "{sad}"}
        conn.execute("select pgpipe_internal.reconcile_rows(embedding_id) from pgpipe.embedding")
        conn.execute("select * from pgpipe.embedding_drift(%s)", (target,))

        assert not own.caught()


@also_on_16
def test_a_merge_meets_no_function_of_its_callers_path(any_database: Database, conn: Connection) -> None:
    """K2: a merge fires the target's triggers with the caller's path, and looks nothing of its own up by it."""
    run(conn, "create table item (id varchar primary key, a varchar); insert into item values ('1', 'x'), ('2', 'y')")
    run(conn, "create table pgpipe_staging.item (id varchar, a varchar, b varchar)")
    run(conn, "insert into pgpipe_staging.item values ('1', 'x', 'new'), ('3', 'z', 'new')")
    with attacker(any_database) as own:
        run(
            own.conn,
            """
            create function {s}.op(varchar, varchar) returns boolean language sql as $$ select {s}.evil(1) $$;
            create operator {s}.= (function = {s}.op, leftarg = varchar, rightarg = varchar);
            create function {s}.num_nulls(varchar, varchar) returns int language sql as
                $$ select 0 where {s}.evil(1) $$;
            create function {s}.unnest(name[]) returns setof name language sql as
                $$ select 'id'::name where {s}.evil(1) $$;
            create function {s}.jsonb_array_elements(text) returns setof jsonb language sql as
                $$ select '{{}}'::jsonb where {s}.evil(1) $$;
            """,
            s=own.schema,
        )
        conn.execute(f"set search_path = {own.schema}, public".encode())
        conn.execute(
            """select pgpipe_internal.add_columns('item', 'pgpipe_staging.item', '[{"name": "b", "type": "varchar"}]',
                                         '{id}', 'snapshot')"""
        )
        counts = conn.execute(
            """select inserted, updated, deleted, unchanged
                 from pgpipe_internal.merge('item', 'pgpipe_staging.item', '{id,a,b}', '{id}', 'snapshot', '[]',
                                            '{}')"""
        ).fetchone()

        assert counts == (1, 0, 1, 1)
        assert not own.caught()


@pytest.mark.parametrize(
    "name",
    [
        "$f$",
        "$$",
        "$sql$",
        "a'b\"c",
        "\\",
        "%s %1$I",
        "{title}",
        "-- x",
        "é" * 31,
        "x" * 63,
        "$body$; drop table x; --",
    ],
)
def test_names_that_end_a_quotation(conn: Connection, name: str) -> None:
    """K10: columns and tables of any name are searched online, embedded, filtered and merged."""
    quoted = value(conn, "select quote_ident(%s)", name)
    run(conn, "create table {t} ({q} int primary key, title text); insert into {t} values (1, 'okapi')",
        t=quoted, q=quoted)  # fmt: skip
    run(conn, "create table {t} ({q} text primary key, {o} text)", t="other", q=quoted, o='"$o$"')
    conn.execute("insert into other values ('one', 'okapi')")
    for target, inputs in ((quoted, ["title"]), ("other", [name, "$o$"])):
        conn.execute(
            "select pgpipe.enable_search(%s, %s, online => true)",
            (target, json.dumps(dict.fromkeys(inputs, "A"))),
        )
        conn.execute(f"call pgpipe.fill_search({value(conn, 'select quote_literal(%s)', target)})".encode())
        for statement in column(conn, "select pgpipe_internal.search_index_statements(%s)", target):
            conn.execute(statement.encode())
        conn.execute("select pgpipe_internal.finish_search(%s)", (target,))
        drain(conn, embed(conn, target, inputs))
        conn.execute("select pgpipe.enable_filters(%s, %s)", (target, [name]))
        (key,) = conn.execute(f"select {quoted} from {target}".encode()).fetchone() or (None,)
        for query in SEARCHES:
            found = column(conn, query.replace("'item'", "%s"), target, json.dumps({name: key}))
            assert found == [{name: key}]
