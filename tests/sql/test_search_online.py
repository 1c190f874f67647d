"""A search column for a table in use: filled beside the writers, the same as the generated one in the end."""

import threading

from pgpipe.db import Connection, Database
from pgpipe.searching import fill
from tests.conftest import also_on_16
from tests.sql.support import column, eventually, make_docs, sqlstate, value

ONLINE = "select pgpipe.enable_search('doc', '{title=>A, body=>B}', online => true)"
LOCKS = "select max(mode) from pg_locks where relation = 'doc'::regclass and pid = pg_backend_pid()"
COLUMNS = "select attname::text from pg_attribute where attrelid = 'doc'::regclass and attnum > 0 and not attisdropped"
KEEPERS = "select count(*) from pg_trigger where tgrelid = 'doc'::regclass and tgname like 'zzz_pgpipe%%'"


def fill_all(conn: Connection, batch: int = 2000) -> list[int]:
    """Fill what is pending as the command does; returns the rows of each batch."""
    batches: list[int] = []
    for target in fill.pending(conn):
        assert fill.fill(conn, target, batches.append, batch)
    return batches


def found(conn: Connection, query: str) -> list[int]:
    """Ids, in their order."""
    return column(conn, "select (key ->> 'id')::int from pgpipe.text_search('doc', %s, 100) order by 1", query)


def test_filled_and_served(conn: Connection) -> None:
    """Declared without a rewrite; not searched until it is filled and indexed; then as any other search."""
    make_docs(conn, 3000)
    file = value(conn, "select relfilenode from pg_class where relname = 'doc'")

    conn.execute(ONLINE)
    conn.execute(ONLINE)

    assert value(conn, "select relfilenode from pg_class where relname = 'doc'") == file
    assert sqlstate(conn, "select pgpipe.text_search('doc', 'title')") == "PP005"
    assert sqlstate(conn, "select pgpipe_internal.finish_search('doc')") == "PP005"
    assert sum(fill_all(conn)) == 3000
    assert found(conn, "2999") == [2999]
    indexes = "select count(*) from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam"
    assert value(conn, f"{indexes} where indrelid = 'doc'::regclass and amname = 'gin' and indisvalid") == 1
    assert fill.pending(conn) == []
    whole = """select row from pgpipe.text_search('doc', '2999', options => '{"row": true}')"""
    assert "search" not in value(conn, whole)


@also_on_16
def test_writes_of_every_kind_are_seen(conn: Connection) -> None:
    """Inserted, changed and untouched rows are found as they are: before, during and after the fill."""
    make_docs(conn, 1000)
    conn.execute(ONLINE)
    conn.execute("insert into doc values (5001, 'zebra', null, 0)")
    conn.execute("update doc set title = 'gnu' where id = 1")
    conn.execute("update doc set size = 7 where id = 2")
    conn.execute("delete from doc where id = 3")
    conn.execute("select pgpipe_internal.fill_batch('doc', 10)")
    conn.execute("update doc set body = 'gnu' where id in (4, 900)")
    fill_all(conn)
    conn.execute("insert into doc values (5002, 'zebra', 'zebra', 0)")
    conn.execute("update doc set title = 'okapi' where id = 5001")
    conn.execute("update doc set search = to_tsvector('nonsense') where id = 10")

    assert found(conn, "gnu") == [1, 4, 900]
    assert (found(conn, "zebra"), found(conn, "okapi"), found(conn, "nonsense")) == ([5002], [5001], [])
    assert value(conn, "select count(*) from doc where search is null") == 0


def test_a_stopped_fill_goes_on(conn: Connection) -> None:
    """Batch by batch, each committed: a second fill writes only what the first left."""
    make_docs(conn, 5000)
    conn.execute("analyze doc")
    conn.execute(ONLINE)
    for _ in range(3):
        conn.execute("select pgpipe_internal.fill_batch('doc', 500)")
    done = value(conn, "select filled from pgpipe.search_fill")
    before = value(conn, "select count(*) from doc where search is not null")

    batches = fill_all(conn, 500)

    assert 0 < done == before < 5000
    assert sum(batches) == 5000 - done
    assert len(batches) > 3


@also_on_16
def test_the_procedure_commits(conn: Connection, other: Connection) -> None:
    """`call pgpipe.fill_search` does the same from psql: what it had done is there although it was cut off."""
    make_docs(conn, 4000)
    conn.execute("analyze doc")
    conn.execute(ONLINE)
    conn.execute("alter table doc add constraint late check (search is null or id <> 3999) not valid")

    assert sqlstate(conn, "call pgpipe.fill_search('doc', 500)") == "23514"
    assert value(other, "select count(*) from doc where search is not null") >= 2000
    conn.execute("alter table doc drop constraint late")
    conn.execute("call pgpipe.fill_search('doc', 500)")
    assert value(other, "select count(*) from doc where search is null") == 0
    for statement in column(conn, "select * from pgpipe_internal.search_index_statements('doc')"):
        conn.execute(statement.encode())
    conn.execute("call pgpipe.fill_search('doc')")
    assert found(conn, "3999") == [3999]


def test_no_writer_waits(any_database: Database, conn: Connection) -> None:
    """Writers come through during a fill, and a row that one of them holds is filled later, not waited for."""
    make_docs(conn, 3000)
    conn.execute("analyze doc")
    conn.execute(ONLINE)
    with any_database.connect() as writer:
        writer.execute("select from doc where id = 5 for update")
        conn.execute("set lock_timeout = '2s'")
        for _ in range(3):
            conn.execute("select pgpipe_internal.fill_batch('doc', 1000)")
        assert column(conn, "select id from doc where search is null") == [5]
        writer.execute("update doc set size = 1 where id = 2000")
    conn.execute("set lock_timeout = 0")
    fill_all(conn)

    assert found(conn, "5") == [5]


def test_a_busy_table_is_not_held_up(any_database: Database, conn: Connection) -> None:
    """The declaration waits for a long reader, but in short turns: another reader gets its answer meanwhile."""
    make_docs(conn, 10)
    declared = threading.Event()

    def declare() -> None:
        with any_database.connect(autocommit=True) as own:
            own.execute(ONLINE)
        declared.set()

    with any_database.connect() as reader, any_database.connect(autocommit=True) as second:
        reader.execute("select count(*) from doc")
        thread = threading.Thread(target=declare)
        thread.start()
        waiting = "select count(*) from pg_locks where not granted and relation = 'doc'::regclass"
        eventually(lambda: value(conn, waiting) == 1)
        second.execute("set statement_timeout = '30s'")
        assert second.execute("select count(*) from doc").fetchone() == (10,)
        assert not declared.is_set()
        reader.commit()
        thread.join(60)
    assert declared.is_set()
    fill_all(conn)
    assert found(conn, "7") == [7]


def test_alter_keeps_serving(conn: Connection) -> None:
    """A column is added to a search: the old one answers until the new one is filled, then one statement swaps them."""
    make_docs(conn, 2000)
    conn.execute("alter table doc add column notes text")
    conn.execute("update doc set notes = 'okapi' where id = 7")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    with_notes = "select pgpipe.alter_search('doc', '{title=>A, body=>B, notes=>B}')"

    conn.execute(with_notes)
    conn.execute(with_notes)

    assert (found(conn, "okapi"), found(conn, "1999")) == ([], [1999])
    conn.execute("select pgpipe_internal.fill_batch('doc', 100)")
    conn.execute("insert into doc (id, title, body, notes) values (2001, 'new', 'zebra', 'okapi')")
    assert (found(conn, "okapi"), found(conn, "zebra")) == ([], [2001])
    fill_all(conn)
    assert found(conn, "okapi") == [7, 2001]
    assert column(conn, COLUMNS) == ["id", "title", "body", "size", "notes", "search"]
    conn.execute("update doc set notes = 'okapi' where id = 8")
    assert found(conn, "okapi") == [7, 8, 2001]

    conn.execute("select pgpipe.alter_search('doc', '{notes=>A}', 'simple')")  # and once more, from a trigger's column
    fill_all(conn)
    assert (found(conn, "okapi"), found(conn, "zebra")) == ([7, 8, 2001], [])
    assert (value(conn, KEEPERS), column(conn, COLUMNS)[-1]) == (1, "search")


def test_a_change_of_mind(conn: Connection) -> None:
    """Another alter takes the place of an unfinished one; the declaration that serves ends it."""
    make_docs(conn, 100)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")
    before = column(conn, COLUMNS)
    conn.execute("select pgpipe.alter_search('doc', '{body=>A}')")
    conn.execute("select pgpipe.alter_search('doc', '{body=>B}')")
    assert len(column(conn, COLUMNS)) == len(before) + 1

    conn.execute("select pgpipe.alter_search('doc', '{title=>A}')")

    assert (column(conn, COLUMNS), value(conn, KEEPERS), fill.pending(conn)) == (before, 0, [])


@also_on_16
def test_disable_ends_a_fill(conn: Connection) -> None:
    """Columns, triggers and their functions go, of what serves and of what is being filled."""
    make_docs(conn, 10)
    before = column(conn, COLUMNS)
    functions = "select count(*) from pg_proc where pronamespace = 'public'::regnamespace and proname like 'doc%%'"
    conn.execute(ONLINE)
    fill_all(conn)
    conn.execute("select pgpipe.alter_search('doc', '{body=>A}')")
    assert value(conn, functions) == 2

    conn.execute("select pgpipe.disable_search('doc')")
    conn.execute("select pgpipe.disable_search('doc')")

    assert (column(conn, COLUMNS), value(conn, KEEPERS), value(conn, functions)) == (before, 0, 0)


def test_a_partitioned_table(conn: Connection) -> None:
    """Every partition is filled."""
    conn.execute("create table doc (id int primary key, title text, body text) partition by range (id)")
    conn.execute("create table doc_low partition of doc for values from (0) to (1000)")
    conn.execute("create table doc_high partition of doc for values from (1000) to (9000)")
    conn.execute("insert into doc select n, 'title ' || n, null from generate_series(1, 5000) n")
    conn.execute(ONLINE)
    while not value(conn, "select done from pgpipe_internal.fill_batch('doc', 500)"):
        pass
    conn.execute("create index on doc using gin (search)")  # PostgreSQL builds none concurrently on a partitioned table

    conn.execute("select pgpipe_internal.finish_search('doc')")

    assert (found(conn, "17"), found(conn, "4999")) == ([17], [4999])


def test_what_cannot_be_kept(conn: Connection) -> None:
    """A generated column is refused by name; so are a column that is missing and a name that is taken."""
    conn.execute("create table doc (id int primary key, t text, g text generated always as (upper(t)) stored)")
    online = "select pgpipe.enable_search('doc', %s, column_name => %s, online => true)"
    assert sqlstate(conn, online, "{g=>A}", "search") == "PP003"
    assert sqlstate(conn, online, "{nope=>A}", "search") == "PP002"
    assert sqlstate(conn, online, "{t=>A}", "g") == "PP004"
    assert sqlstate(conn, "select pgpipe_internal.fill_batch('doc')") == "PP005"
    assert sqlstate(conn, "select pgpipe.alter_search('doc', '{t=>A}')") == "PP005"
