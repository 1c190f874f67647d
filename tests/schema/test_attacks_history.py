"""Histories: who may say which table is one, and what stands against a loader who owns other tables."""

import psycopg
import pytest

from pgpipe.db import Connection, Database
from tests.schema.attack import Attacker, attacker, run
from tests.sql.support import sqlstate, value

GRANTS = """
    grant usage on schema pgpipe, pgpipe_internal to {s};
    grant execute on function pgpipe_internal.mark_history() to {s};
    grant select, insert, update, delete on pgpipe.history, pgpipe.history_mark to {s};
    grant select on pgpipe.search_fill, pgpipe.search to {s};
    create table secret (id int primary key, text text); insert into secret values (1, 'mine');
"""
FORGE = (
    "insert into pgpipe.history (target, history, since, written_at) values ('{s}.t', '{h}', now() - interval '1 y',"
    " now())"
)
START = "select pgpipe_internal.set_history('{t}', '{{id}}', {wanted}, null)"
OWNER = "select relowner::regrole::text from pg_class where oid = '{h}'::regclass"


def _mallory(conn: Connection, own: Attacker) -> str:
    run(conn, GRANTS, s=own.schema)
    run(own.conn, "create table {s}.t (id int primary key, text text)", s=own.schema)
    return own.schema


def _code(conn: Connection, statement: str, **names: str) -> str:
    return sqlstate(conn, statement.format(**names))


def test_a_table_of_somebody_else_is_no_history(any_database: Database, conn: Connection) -> None:
    """A loader cannot make another role's table the history of its own target, nor have a superuser take it over."""
    with attacker(any_database) as own:
        s = _mallory(conn, own)
        assert _code(own.conn, FORGE, s=s, h="secret") == "42501"
        run(own.conn, "create table {s}.decoy (id int)", s=s)
        run(own.conn, FORGE, s=s, h=f"{s}.decoy")
        assert _code(own.conn, "update pgpipe.history set history = 'secret'") == "42501"
        run(own.conn, "delete from pgpipe.history", s=s)
        run(conn, FORGE, s=s, h="secret")  # as if the policy had let it pass
        for wanted in ("true", "null"):
            with pytest.raises(psycopg.Error, match=r"belongs to .*: run alter table"):
                run(conn, START, t=f"{s}.t", wanted=wanted)
        run(conn, "select pgpipe_internal.keep_versions('{s}.t', null, '{{id}}', null, true)", s=s)
        with pytest.raises(psycopg.Error, match="has no history"):
            run(conn, "select * from pgpipe.as_of(null::{s}.t, now())", s=s)
        run(conn, "grant all on pgpipe.soft_delete to {s}; insert into pgpipe.soft_delete values ('secret', 'id')", s=s)
        assert _code(own.conn, "insert into pgpipe.soft_delete values ('pgpipe.job', 'key')") == "42501"
        run(own.conn, "delete from pgpipe.soft_delete; update pgpipe.soft_delete set column_name = 'text'")
        assert value(conn, "select column_name from pgpipe.soft_delete") == "id"
        assert value(conn, OWNER.format(h="secret")) == "postgres"
        assert value(conn, "select count(*) from pg_attribute where attrelid = 'secret'::regclass and attnum > 0") == 2


def test_the_history_of_a_table_that_was_dropped(any_database: Database, conn: Connection) -> None:
    """A history whose table was dropped goes to no other role's table of that name, and no other role forgets it."""
    with attacker(any_database) as own:
        s = _mallory(conn, own)
        run(conn, "create table {s}.gone (id int primary key)", s=s)
        run(conn, START, t=f"{s}.gone", wanted="true")
        run(conn, "drop table {s}.gone", s=s)
        run(own.conn, "delete from pgpipe.history; create table {s}.gone (id int primary key)", s=s)
        assert value(conn, "select count(*) from pgpipe.history") == 1
        with pytest.raises(psycopg.Error, match=r"belongs to .*: run alter table"):
            run(conn, START, t=f"{s}.gone", wanted="true")
        assert _code(own.conn, START, t=f"{s}.gone", wanted="true") == "PP014"
        assert value(conn, OWNER.format(h=f"{s}.gone_history")) == "postgres"


def test_marks_of_somebody_elses_target(any_database: Database, conn: Connection) -> None:
    """A loader cannot take away, change or forge the marks of a target that it does not own."""
    with attacker(any_database) as own:
        s = _mallory(conn, own)
        run(conn, START, t="secret", wanted="true")
        run(conn, "update secret set text = 'by hand'")
        before = value(conn, "select array_agg(mark.*::text) from pgpipe.history_mark mark")
        run(own.conn, "delete from pgpipe.history_mark; update pgpipe.history_mark set nested = false")
        forged = "insert into pgpipe.history_mark values ('secret', pg_current_xact_id(), true)"
        assert _code(own.conn, forged) == "42501"
        run(own.conn, START, t=f"{s}.t", wanted="true")
        conn.execute("alter role pgpipe_queue nobypassrls")  # as where no superuser made it
        try:
            run(own.conn, "truncate {s}.t", s=s)
            run(conn, "insert into {s}.t values (1); insert into secret values (2)", s=s)
        finally:
            conn.execute("alter role pgpipe_queue bypassrls")

        assert len(before) == 1
        marks = "select array_agg(mark.*::text) from pgpipe.history_mark mark where target = '{t}'::regclass"
        assert value(conn, marks.format(t="secret")) == before
        assert len(value(conn, marks.format(t=f"{s}.t"))) >= 1


def test_marks_do_not_pile_up(any_database: Database, conn: Connection) -> None:
    """One mark stands for all writers; a load does not take it from one who has not committed, and waits for nobody."""
    run(conn, "create table item (id int primary key)")
    run(conn, START, t="item", wanted="true")
    run(conn, "select pgpipe_internal.keep_versions('item', null, '{{id}}', null, true)")
    for n in range(5):
        run(conn, f"insert into item values ({n})")
    assert value(conn, "select count(*) from pgpipe.history_mark") == 1
    with any_database.connect(autocommit=True) as other, other.transaction():
        run(other, "insert into item values (9)")
        run(conn, "set lock_timeout = '1s'")
        run(conn, "select pgpipe_internal.keep_versions('item', null, '{{id}}', null, false)")
        assert value(conn, "select count(*) from item_history") == 5
    run(conn, "select pgpipe_internal.keep_versions('item', null, '{{id}}', null, false)")
    assert value(conn, "select count(*) from item_history") == 6
    assert value(conn, "select count(*) from pgpipe.history_mark") == 0


HOSTILE = '"%s{{}}""; drop table secret; --"'


@pytest.mark.parametrize(
    "make",
    [
        f"create table {{t}} (id int primary key, {HOSTILE} text default 'x')",
        "create table {t} (id int generated always as identity primary key, n int generated always as (1 + 1) stored)",
        (
            "create table {t} (id int primary key, text text) partition by range (id);"
            "create table part partition of {t} for values from (0) to (99)"
        ),
    ],
)
@pytest.mark.parametrize("name", ["item", "a" * 63, "o\"%s{{}}'; --"])
def test_odd_targets(conn: Connection, make: str, name: str) -> None:
    """Any name of a table or column, generated and identity columns, partitions: history and answers are right."""
    t = '"' + name.replace('"', '""') + '"'
    run(conn, "create table secret (id int)")
    conn.execute(make.replace("{t}", t).replace("{{}}", "{}").encode())
    literal = "'" + t.replace("'", "''").replace("{{}}", "{}") + "'"
    conn.execute(f"select pgpipe_internal.set_history({literal}, '{{id}}', true, null)".encode())
    insert = f"insert into {t} (id) overriding system value values (1), (2)"
    keep = f"select pgpipe_internal.keep_versions({literal}, null, '{{id}}', null, false)"
    for statement in (insert, keep, f"truncate {t}", keep):
        conn.execute(statement.replace("{{}}", "{}").encode())

    answer = f"select count(*) from pgpipe.as_of(null::{t}, %s::timestamptz)".replace("{{}}", "{}")
    ((kept,),) = conn.execute("select history::text from pgpipe.history").fetchall()
    rows = conn.execute(f"select pgpipe_valid_from, pgpipe_ended from {kept}".encode()).fetchall()
    assert [ended for _, ended in rows] == ["delete", "delete"]
    for moment, count in ((rows[0][0], 2), ("now", 0)):
        assert conn.execute(answer.replace("%s::", f"'{moment}'::").encode()).fetchone() == (count,)
    assert value(conn, "select to_regclass('secret') is not null")
