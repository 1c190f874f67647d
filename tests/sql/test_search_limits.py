"""Search at its edges: arguments that mean nothing, columns lost behind its back, tables in parts, endless texts."""

import psycopg
import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, drain, embed, make_docs, sqlstate, value
from tests.sql.test_search_online import fill_all, found

TEXT = "select key from pgpipe.text_search('doc', 'title', {})"
VECTOR = "select key from pgpipe.vector_search('doc', '[1,0,0]', {})"
HYBRID = "select key from pgpipe.hybrid_search('doc', 'title', '[1,0,0]', {})"


@pytest.fixture
def docs(conn: Connection) -> Connection:
    """Three docs, searched and embedded."""
    make_docs(conn, 3)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    drain(conn, embed(conn))
    return conn


@pytest.mark.parametrize("search", [TEXT, VECTOR, HYBRID], ids=["text", "vector", "hybrid"])
@pytest.mark.parametrize("page", ["null", "-1", "2, skip => -1", "2, skip => null"])
def test_pages_that_mean_nothing(docs: Connection, search: str, page: str) -> None:
    """NULL or less than nothing: PP003, at once; no answers at all is a page."""
    assert sqlstate(docs, search.format(page)) == "PP003"
    assert column(docs, search.format("0")) == []


@pytest.mark.parametrize(
    "how",
    ["text_weight => -1", "vector_weight => 1e7", "text_weight => 'NaN'", "rrf_k => -1", "text_weight => 'Infinity'"],
)
def test_weights_that_mean_nothing(docs: Connection, how: str) -> None:
    """A weight below nothing, or endless: PP003."""
    assert sqlstate(docs, HYBRID.format("2, " + how)) == "PP003"


@pytest.mark.parametrize("candidates", ["0", "1", "-5", "null"])
def test_few_candidates(docs: Connection, candidates: str) -> None:
    """Fewer than k are as many as k."""
    assert len(column(docs, HYBRID.format(f"3, candidates => {candidates}"))) == 3


@pytest.mark.parametrize(
    "declaration",
    [
        "'doc', null",
        "'doc', '{title=>A}', null",
        "'doc', '{title=>A}', column_name => null",
        "null, '{title=>A}'",
        "'doc', '{title=>A, title=>B}'",
        "'seen', '{title=>A}'",
        "'seen', '{title=>A}', online => true",
        "'copied', '{title=>A}'",
    ],
)
def test_declarations_that_mean_nothing(conn: Connection, declaration: str) -> None:
    """NULL, a column twice, a view: PP003, and nothing is left of it."""
    make_docs(conn, 1)
    conn.execute("create view seen as select * from doc; create materialized view copied as select * from doc")
    assert sqlstate(conn, f"select pgpipe.enable_search({declaration})") == "PP003"
    assert (
        value(conn, "select count(*) from pgpipe.search") + value(conn, "select count(*) from pgpipe.search_fill") == 0
    )


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("loss", ["drop column search", "rename search to sought"])
def test_a_lost_column(conn: Connection, loss: str, *, online: bool) -> None:
    """Dropped or renamed behind the back of pgpipe: said so, and declared again like the first time."""
    make_docs(conn, 3)
    declare = f"select pgpipe.enable_search('doc', '{{title=>A}}', online => {online})"
    conn.execute(declare.encode())
    fill_all(conn)
    conn.execute(f"alter table doc {loss}".encode())

    assert sqlstate(conn, "select pgpipe.text_search('doc', 'title')") == "PP005"
    conn.execute(declare.encode())
    fill_all(conn)
    conn.execute("insert into doc values (9, 'title 9')")

    assert found(conn, "title") == [1, 2, 3, 9]


@also_on_16
@pytest.mark.parametrize("online", [False, True])
def test_a_configuration_that_is_gone(conn: Connection, *, online: bool) -> None:
    """Who drops it with all that depends on it reads what is missing, and goes on with another."""
    make_docs(conn, 3)
    conn.execute("create text search configuration mine (copy = english)")
    conn.execute(f"select pgpipe.enable_search('doc', '{{title=>A}}', 'mine', online => {online})".encode())
    fill_all(conn)
    conn.execute("drop text search configuration mine cascade")

    with pytest.raises(psycopg.Error, match=r"does not exist|lost") as caught:
        conn.execute("select pgpipe.text_search('doc', 'title')")
    assert caught.value.sqlstate == "PP005"
    if online:
        conn.execute("select pgpipe.alter_search('doc', '{title=>A}', 'english')")
    else:
        conn.execute("select pgpipe.enable_search('doc', '{title=>A}', 'english')")
    fill_all(conn)
    conn.execute("insert into doc values (9, 'title 9')")

    assert found(conn, "titles") == [1, 2, 3, 9]


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("change", ["rename lang to spoken", "rename title to name", "rename search to sought"])
def test_a_column_that_is_renamed(conn: Connection, change: str, *, online: bool) -> None:
    """V3, V25: no write is refused for a renamed column; a search goes on or says it, and alter_search mends it."""
    conn.execute("create table doc (id int primary key, title text, body text, lang text)")
    conn.execute("insert into doc values (1, 'Häuser', 'x', 'de'), (2, 'houses', 'y', 'en')")
    declare = f"select pgpipe.enable_search('doc', '{{title=>A}}', language_column => 'lang', online => {online})"
    conn.execute(declare.encode())
    fill_all(conn)
    assert value(conn, "select pgpipe_internal.search_doubt('doc')") is None
    conn.execute(f"alter table doc {change}".encode())

    conn.execute(
        "insert into doc values (3, 'house', 'z', 'en'); update doc set body = 'w'; delete from doc where id = 0"
    )
    column_, present = change.split()[1], change.split()[3]
    assert f" {column_} any more" in (doubt := value(conn, "select pgpipe_internal.search_doubt('doc')")) or (
        column_ == "search" and "lost its search column search" in doubt
    )
    if column_ == "search":
        assert sqlstate(conn, "select pgpipe.text_search('doc', 'house')") == "PP005"
        conn.execute(declare.encode())
    else:
        assert found(conn, "house") == ([2] if online else [2, 3])
        assert found(conn, "Häuser") == ([] if online and column_ == "lang" else [1])
        name, lang = ("name", "lang") if column_ == "title" else ("title", present)
        conn.execute(f"select pgpipe.alter_search('doc', '{{{name}=>A}}', language_column => '{lang}')".encode())
    fill_all(conn)
    assert (found(conn, "house"), found(conn, "Haus")) == ([2, 3], [1])
    assert value(conn, "select pgpipe_internal.search_doubt('doc')") is None


@also_on_16
def test_alter_keeps_what_it_does_not_name(conn: Connection) -> None:
    """A column more, and each row keeps its language; the empty name takes that away."""
    conn.execute("create table doc (id int primary key, title text, body text, lang text)")
    conn.execute("insert into doc values (1, 'Häuser', 'x', 'de'), (2, 'houses', 'y', 'en')")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}', 'simple', language_column => 'lang')")

    conn.execute("select pgpipe.alter_search('doc', '{title=>A, body=>B}')")
    fill_all(conn)
    kept = "select language::text || ' ' || coalesce(language_column, '-') from pgpipe.search"
    assert value(conn, kept) == "simple lang"
    assert (found(conn, "Haus"), found(conn, "house"), found(conn, "y")) == ([1], [2], [2])

    conn.execute("select pgpipe.alter_search('doc', '{title=>A, body=>B}', language_column => '')")
    fill_all(conn)
    assert value(conn, kept) == "simple -"
    assert (found(conn, "Haus"), found(conn, "houses")) == ([], [2])


@also_on_16
def test_child_tables(conn: Connection) -> None:
    """Searched through their parent; online is refused, as their rows fire no trigger of the parent's."""
    conn.execute(
        "create table doc (id int primary key, title text); create table more (primary key (id)) inherits (doc)"
    )
    conn.execute("insert into doc values (1, 'title'); insert into more values (2, 'title')")
    assert sqlstate(conn, "select pgpipe.enable_search('doc', '{title=>A}', online => true)") == "PP003"

    conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")

    assert found(conn, "title") == [1, 2]
    assert sqlstate(conn, "select pgpipe.alter_search('doc', '{title=>B}')") == "PP003"
    conn.execute("select pgpipe.refresh_search('doc')")
    conn.execute("analyze doc; analyze more")
    assert value(conn, "select pgpipe_internal.search_is_stale('doc')") is False


def test_rows_that_cannot_be_filled(conn: Connection) -> None:
    """A trigger that undoes every update ends the fill with an error that says so, where it would go on for ever."""
    make_docs(conn, 5)
    conn.execute("create function keep() returns trigger language plpgsql as 'begin return null; end'")
    conn.execute("create trigger keep before update on doc for each row execute function keep()")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}', online => true)")
    with pytest.raises(psycopg.Error, match=r"rows of public\.doc could not be filled: a trigger"):
        conn.execute("select pgpipe_internal.fill_batch('doc')")

    conn.execute("alter table doc disable trigger keep")
    fill_all(conn)
    assert len(found(conn, "title")) == 5


@also_on_16
def test_partitions(conn: Connection) -> None:
    """Filled and indexed without locking out writers, like any table; and their figures are as old as theirs are."""
    conn.execute("create table doc (id int primary key, title text, body text) partition by range (id)")
    conn.execute("create table low partition of doc for values from (0) to (100)")
    conn.execute("create table high partition of doc for values from (100) to (900) partition by range (id)")
    conn.execute("create table highest partition of high for values from (100) to (900)")
    conn.execute("insert into doc select n, 'title ' || n from generate_series(1, 300) n")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', online => true)")

    fill_all(conn)

    assert (found(conn, "17"), found(conn, "299")) == ([17], [299])
    assert value(conn, "select pgpipe_internal.is_indexed('doc', 'search', 'gin')")
    statements = "select pgpipe_internal.search_index_statements('doc')"
    assert column(conn, statements) == []
    conn.execute("select pgpipe.alter_search('doc', '{title=>A}')")
    fill_all(conn)
    assert found(conn, "299") == [299]
    conn.execute("select pgpipe.refresh_search('doc')")
    for part in ("low", "highest"):
        conn.execute(f"analyze {part}".encode())
    assert value(conn, "select pgpipe_internal.search_is_stale('doc')") is False
    assert value(conn, "select pgpipe_internal.known_rows('doc')") == 300
