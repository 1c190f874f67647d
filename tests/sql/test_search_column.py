"""Declaring and dropping the search column, and the figures that ranking reads."""

import psycopg
import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, make_docs, sqlstate, value

FIGURES = "select documents, mean_length from pgpipe.search where target = 'doc'::regclass"


def enable(conn: Connection, columns: str = "{title=>A, body=>B}", **options: str) -> None:
    """Declare it on doc."""
    named = "".join(f", {name} => '{option}'" for name, option in options.items())
    conn.execute(f"select pgpipe.enable_search('doc', '{columns}'{named})".encode())


def test_twice_is_a_no_op(conn: Connection) -> None:
    """The same declaration again neither rewrites the table nor adds an index."""
    make_docs(conn, 2)
    enable(conn)
    indexes = "(select count(*) from pg_index where indrelid = c.oid)"
    look = f"select relfilenode, {indexes} from pg_class c where relname = 'doc'".encode()
    before = conn.execute(look).fetchone()

    enable(conn)
    enable(conn, '{"body": "B", "title": "A"}')

    assert conn.execute(look).fetchone() == before
    assert before is not None
    assert before[1] == 2


def test_another_declaration_is_refused(conn: Connection) -> None:
    """Other columns, weights, language or name: PP004, with the way to change it; after that way, it is declared."""
    make_docs(conn, 1)
    enable(conn)

    other = "select pgpipe.enable_search('doc', %s, %s, %s)"
    assert sqlstate(conn, other, "{title=>A}", "english", "search") == "PP004"
    assert sqlstate(conn, other, "{title=>A, body=>C}", "english", "search") == "PP004"
    assert sqlstate(conn, other, "{title=>A, body=>B}", "german", "search") == "PP004"
    assert sqlstate(conn, other, "{title=>A, body=>B}", "english", "other") == "PP004"

    conn.execute("select pgpipe.disable_search('doc')")
    assert sqlstate(conn, other, "{title=>A, body=>C}", "german", "other") == ""


@also_on_16
def test_disable(conn: Connection) -> None:
    """Column, index and lexemes go; the rows stay; twice is a no-op."""
    make_docs(conn, 5)
    enable(conn)
    conn.execute("select pgpipe.refresh_search('doc')")

    conn.execute("select pgpipe.disable_search('doc')")
    conn.execute("select pgpipe.disable_search('doc')")

    columns = (
        "select attname::text from pg_attribute where attrelid = 'doc'::regclass and attnum > 0 and not attisdropped"
    )
    assert column(conn, columns) == ["id", "title", "body", "size"]
    assert value(conn, "select count(*) from pgpipe.lexeme") == 0
    assert value(conn, "select count(*) from doc") == 5


def test_a_name_that_is_taken(conn: Connection) -> None:
    """A column called search may be the user's own: refused, and another name works."""
    make_docs(conn)
    conn.execute("alter table doc add search text")

    assert sqlstate(conn, "select pgpipe.enable_search('doc', '{title=>A}')") == "PP004"
    enable(conn, "{title=>A}", column_name="search_text")
    conn.execute("insert into doc values (1, 'jacket', null, 0, 'mine')")
    assert (
        value(conn, "select row from pgpipe.text_search('doc', 'jacket', options => '{\"row\": true}')")["search"]
        == "mine"
    )


def test_columns_of_other_types(conn: Connection) -> None:
    """Any string type is searched like text."""
    conn.execute("create table doc (id int primary key, a varchar(20), b char(9))")
    enable(conn, "{a=>A, b=>B}")
    conn.execute("insert into doc values (1, 'one', 'two')")

    assert value(conn, "select count(*) from pgpipe.text_search('doc', 'two')") == 1
    conn.execute("select pgpipe.disable_search('doc')")
    assert sqlstate(conn, "select pgpipe.enable_search('doc', '{nope=>A}')") == "PP002"


def test_arrays_of_texts(conn: Connection) -> None:
    """V26: tags are searched, each once, whatever is in them; no array keeps a row out."""
    conn.execute("create domain tag as text")
    conn.execute("create table doc (id int primary key, title text, tags tag[], codes varchar(9)[])")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, tags=>B, codes=>C}')")
    tags = ["red shoes", 'bl"ue\nsky', None, "a\\b", "red shoes", ""]
    conn.execute("insert into doc values (1, 'x', %s, '{k2}'), (2, null, null, '[3:4]={k2,k3}')", (tags,))
    conn.execute("insert into doc values (3, 'y', '{{red,green},{blue,shoes}}', '{}'), (4, 'z', '{null}', null)")

    asked = "select array_agg(key ->> 'id' order by key ->> 'id') from pgpipe.text_search('doc', %s)"
    for word, ids in (("shoe", ["1"]), ("sky", ["1"]), ("blue", None), ("k2", ["1", "2"]), ("k3", ["2"]), ("y", ["3"])):
        assert value(conn, asked, word) == ids, word
    assert value(conn, "select passage from pgpipe.text_search('doc', 'shoe')") == (
        'x\nred <b>shoes</b>, bl"ue\nsky, a\\b, red <b>shoes</b>, \nk2'
    )
    assert value(conn, "select cardinality(tsvector_to_array(search)) from doc where id = 1") == 8


def test_types_without_a_lasting_text(conn: Connection) -> None:
    """V26: the text of a date depends on settings: one line with the way that works, and that way works."""
    conn.execute("create table doc (id int primary key, day date, numbers int[], size int, data jsonb)")
    with pytest.raises(psycopg.Error, match=r"numbers of public\.doc is of type integer\[\], whose text") as caught:
        conn.execute("select pgpipe.enable_search('doc', '{numbers=>A, size=>B}')")
    assert caught.value.sqlstate == "PP003"
    assert "online => true" in (caught.value.diag.message_hint or "")

    conn.execute("select pgpipe.enable_search('doc', '{numbers=>A, day=>B, size=>C, data=>D}', online => true)")
    conn.execute("insert into doc values (1, '2026-01-02', '{17,4}', 5, '{\"a\": \"okapi\"}')")
    assert value(conn, "select search @@ '17 & 4 & 2026 & 5 & okapi' from doc")


@also_on_16
def test_weird_names(conn: Connection) -> None:
    """Any name may be a table, a column and the search column."""
    for name in ("Order", "a.b", 'naïve "quote"', "select", "100%", "it's"):
        quoted = '"' + name.replace('"', '""') + '"'
        conn.execute(f"create table {quoted} ({quoted} text primary key)".encode())
        conn.execute(
            "select pgpipe.enable_search(%s, jsonb_build_object(%s::text, 'A')::text, column_name => %s)",
            (quoted, name, name + "!"),
        )
        conn.execute(f"insert into {quoted} values ('jacket')".encode())
        conn.execute("select pgpipe.refresh_search(%s)", (quoted,))

        rows = conn.execute(
            "select key, row from pgpipe.text_search(%s, 'jackets', options => '{\"row\": true}')", (quoted,)
        ).fetchall()
        assert rows == [({name: "jacket"}, {name: "jacket"})]


GOOD = {
    "{title=>A, body=>B}": {"title": "A", "body": "B"},
    "title=>A,body=>B": {"title": "A", "body": "B"},
    "{\n  title => A,\n  body => B\n}": {"title": "A", "body": "B"},
    '{"Odd Name"=>C}': {"Odd Name": "C"},
    '{"title": "A"}': {"title": "A"},
    '{"a=>b, c": "D"}': {"a=>b, c": "D"},
}
BAD = ["", "{}", "[]", "5", "null", '"title"', "{title}", "title", "{title=>E}", "{title=>a}", "{title=>}", "{=>A}"]
BAD += ["{title=>A,}", "{title=>A=>B}", '{"title": null}', '{"title": "AB"}', '{"title": ["A"]}', '["A"]', '{"": "A"}']


def test_parse_weights(conn: Connection) -> None:
    """Both ways to write them are read; anything else is PP003, never another error."""
    for text, weights in GOOD.items():
        assert value(conn, "select pgpipe_internal.parse_weights(%s)", text) == weights, text
    for text in BAD:
        assert sqlstate(conn, "select pgpipe_internal.parse_weights(%s)", text) == "PP003", text


def test_figures(conn: Connection) -> None:
    """All rows, the mean number of words without stop words, and in how many rows each lexeme occurs."""
    make_docs(conn)
    conn.execute("insert into doc values (1, 'the jacket', 'jacket jacket'), (2, 'a tent', 'and a jacket')")
    conn.execute("insert into doc values (3, '', null)")
    enable(conn)

    assert value(conn, "select pgpipe.refresh_search('doc')") == 3

    assert conn.execute(FIGURES).fetchone() == (3, pytest.approx(5 / 3))
    counted = dict(
        conn.execute("select lexeme, documents from pgpipe.lexeme where target = 'doc'::regclass").fetchall()
    )
    assert counted == {"jacket": 2, "tent": 1}


def test_figures_of_an_empty_table(conn: Connection) -> None:
    """No rows: zeros, and a search that finds nothing."""
    make_docs(conn)
    enable(conn)

    assert value(conn, "select pgpipe.refresh_search('doc')") == 0
    assert conn.execute(FIGURES).fetchone() == (0, 0)
    assert column(conn, "select key from pgpipe.text_search('doc', 'x')") == []


def test_figures_of_a_sample(conn: Connection) -> None:
    """Of a large table a sample is read; the estimates are near the truth, and the same each time."""
    make_docs(conn)
    conn.execute("""
        insert into doc select n, case when n % 4 = 0 then 'quarter' end, 'four words in body', n
          from generate_series(1, 20000) n""")
    enable(conn)

    assert value(conn, "select pgpipe.refresh_search('doc', 5000)") == 20000

    documents, length = conn.execute(FIGURES).fetchone() or (0, 0)
    quarter = "select documents from pgpipe.lexeme where lexeme = 'quarter'"
    first = value(conn, quarter)
    assert (documents, length) == (20000, pytest.approx(3.25, rel=0.02))
    assert first == pytest.approx(5000, rel=0.1)
    conn.execute("select pgpipe.refresh_search('doc', 5000)")
    assert value(conn, quarter) == first


@also_on_16
def test_when_figures_are_stale(conn: Connection) -> None:
    """Before the first count, and once the table has a tenth more or fewer rows; null without a search column."""
    make_docs(conn, 100)
    stale = "select pgpipe_internal.search_is_stale('doc')"
    assert value(conn, "select pgpipe_internal.search_is_stale('doc')") is None
    enable(conn)
    assert value(conn, stale) is True
    conn.execute("select pgpipe.refresh_search('doc')")
    conn.execute("analyze doc")
    assert value(conn, stale) is False
    conn.execute("delete from doc where id <= 20")
    conn.execute("vacuum analyze doc")
    assert value(conn, stale) is True


@also_on_16
def test_an_idle_embedder_counts_anew(conn: Connection, other: Connection) -> None:
    """What has grown since is counted once; what another session holds, or was counted just now, is left."""
    refresh = """
        select count(*) filter (where pgpipe_internal.refresh_stale_search(stale))
          from pgpipe_internal.stale_searches() stale
    """
    make_docs(conn, 100)
    enable(conn)
    assert value(conn, refresh) == 1
    conn.execute("insert into doc select n, 'new' from generate_series(101, 200) n")
    conn.execute("analyze doc")
    assert value(conn, refresh) == 0

    conn.execute("update pgpipe.search set refreshed_at = now() - interval '11 minutes'")
    with other.transaction():
        other.execute("select from pgpipe.search for update")
        assert value(conn, refresh) == 0
    assert value(conn, refresh) == 1
    assert value(conn, "select documents from pgpipe.lexeme where lexeme = 'new'") == 100


@pytest.mark.parametrize(("analyzed", "tolerance"), [(True, 0.02), (False, 0.5)])
def test_a_very_large_table_is_not_counted(conn: Connection, analyzed: bool, tolerance: float) -> None:
    """Beyond ten times the sample its size is estimated, by the planner or from the pages read."""
    make_docs(conn, 50000)
    conn.execute("alter table doc set (autovacuum_enabled = false)")
    enable(conn)
    if analyzed:
        conn.execute("vacuum analyze doc")

    assert value(conn, "select pgpipe.refresh_search('doc', 3000)") == pytest.approx(50000, rel=tolerance)
    assert value(conn, "select documents from pgpipe.search") == pytest.approx(50000, rel=tolerance)
    assert value(conn, "select documents from pgpipe.lexeme where lexeme = 'titl'") == pytest.approx(
        50000, rel=tolerance
    )


def test_a_dropped_target_leaves_nothing(conn: Connection) -> None:
    """A table dropped and made again is declared like a new one."""
    make_docs(conn, 3)
    enable(conn)
    conn.execute("select pgpipe.refresh_search('doc')")
    conn.execute("drop table doc")
    make_docs(conn, 3)

    enable(conn, "{title=>A}")

    assert value(conn, "select count(*) from pgpipe.search") == 1
    assert value(conn, "select count(*) from pgpipe.lexeme") == 0
