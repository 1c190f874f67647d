"""Languages: of the table, of each row, of a user's own configuration; beginnings of words; odd questions."""

import psycopg
import pytest
from psycopg import sql

from pgpipe.db import Connection, Database
from tests.conftest import also_on_16
from tests.fixtures.examples import one_in
from tests.sql.support import column, make_docs, sqlstate, value

GERMAN = "Die H\u00e4user der Stadt standen im Wald"
ENGLISH = "Houses of the city were standing in the woods"


def ids(conn: Connection, query: str, *, prefix: bool = False) -> set[int]:
    """The answers to a question."""
    found = "select (key ->> 'id')::int from pgpipe.text_search('doc', %s, prefix => %s)"
    return set(column(conn, found, query, prefix))


def spoken(conn: Connection, type_: str, *languages: str | None) -> None:
    """One doc a language, each with the German and the English sentence, searched by the language of the row."""
    conn.execute(f"create table doc (id int primary key, body text, lang {type_})".encode())
    for n, language in enumerate(languages, 1):
        conn.execute("insert into doc values (%s, %s, %s)", (n, f"{GERMAN}. {ENGLISH}.", language))
    conn.execute("select pgpipe.enable_search('doc', '{body=>A}', 'simple', language_column => 'lang')")


@also_on_16
@pytest.mark.parametrize("type_", ["regconfig", "text"])
def test_the_language_of_each_row(conn: Connection, type_: str) -> None:
    """A row is stemmed by its own language, a question by those of all rows; a row of a new one is found at once."""
    spoken(conn, type_, "german", "english", None)

    assert ids(conn, "Haus") == {1}
    assert ids(conn, "cities") == {2}
    assert ids(conn, "city") == {1, 2, 3}
    assert ids(conn, '"Haus der Stadt"') == {1}
    assert ids(conn, "city -Haus") == {2, 3}
    conn.execute("insert into doc values (4, 'les maisons blanches', 'french')")
    assert ids(conn, "maison blanche") == {4}
    assert set(value(conn, "select pgpipe_internal.search_languages('doc')::text[]")) == {
        "english",
        "french",
        "german",
        "simple",
    }
    passages = column(conn, "select passage from pgpipe.text_search('doc', 'Haus city')")
    assert any("<b>H\u00e4user</b>" in p for p in passages)
    assert any("<b>city</b>" in p for p in passages)


@also_on_16
def test_names_of_languages(conn: Connection) -> None:
    """As text: the name or the code, with a country behind it or not, in any case; another word means the default."""
    spoken(conn, "varchar(10)", "de", "de-AT", "DE_ch", "German", "klingon", "")

    assert ids(conn, "Haus") == {1, 2, 3, 4}


def test_a_column_that_names_no_language(conn: Connection) -> None:
    """A number cannot; PP003."""
    make_docs(conn)
    declare = "select pgpipe.enable_search('doc', '{title=>A}', language_column => 'size')"

    assert sqlstate(conn, declare) == "PP003"


@also_on_16
@pytest.mark.parametrize("type_", ["regconfig", "text"])
def test_the_language_changes_with_the_row(conn: Connection, type_: str) -> None:
    """Also online: a row whose language is corrected is found by it."""
    conn.execute(f"create table doc (id int primary key, body text, lang {type_})".encode())
    conn.execute("insert into doc values (1, %s, 'english')", (GERMAN,))
    conn.execute("select pgpipe.enable_search('doc', '{body=>A}', language_column => 'lang', online => true)")
    while not value(conn, "select done from pgpipe_internal.fill_batch('doc')"):
        pass
    for statement in column(conn, "select * from pgpipe_internal.search_index_statements('doc')"):
        conn.execute(statement.encode())
    conn.execute("select pgpipe_internal.finish_search('doc')")
    assert ids(conn, "Haus") == set()

    conn.execute("update doc set lang = 'german'")

    assert ids(conn, "Haus") == {1}


def declared(conn: Connection, language: str) -> None:
    """A German and an English doc in one configuration."""
    make_docs(conn)
    texts = [GERMAN, ENGLISH]
    for n, text in enumerate(texts, 1):
        conn.execute("insert into doc values (%s, null, %s)", (n, text))
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', %s)", (language,))
    conn.execute("select pgpipe.refresh_search('doc')")


def test_german_configured_and_not(conn: Connection) -> None:
    """Configured, other forms of a word are found and articles are not; else only the form that is there, mostly."""
    declared(conn, "german")
    assert (ids(conn, "Haus"), ids(conn, "St\u00e4dte H\u00e4usern"), ids(conn, "die im der")) == ({1}, {1}, set())
    conn.execute("select pgpipe.disable_search('doc')")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', 'simple')")
    assert (ids(conn, "Haus"), ids(conn, "h\u00e4user"), ids(conn, "die")) == (set(), {1}, {1})


def test_a_configuration_of_ones_own(conn: Connection) -> None:
    """Synonyms by a configuration that a migration makes: documented in docs/search.md."""
    conn.execute("create schema app")
    conn.execute("create text search dictionary app.terms (template = synonym, synonyms = synonym_sample)")
    conn.execute("create text search configuration app.product (copy = english)")
    conn.execute("alter text search configuration app.product alter mapping for asciiword with app.terms, english_stem")
    make_docs(conn)
    conn.execute("insert into doc values (1, 'About Postgres', 'all of it'), (2, 'Indices', 'and how to read them')")

    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', 'app.product')")

    assert ids(conn, "pgsql") == ids(conn, "postgresql") == {1}  # synonym_sample: both are pgsql
    assert ids(conn, "index") == {2}


def test_accents_do_not_count(plain_database: Database) -> None:
    """By a configuration with unaccent, an extension of PostgreSQL's own: documented in docs/search.md."""
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("create extension unaccent")
        conn.execute("create text search configuration public.plain_french (copy = french)")
        conn.execute("""
            alter text search configuration public.plain_french alter mapping for hword, hword_part, word
                  with public.unaccent, french_stem""")
        make_docs(conn)
        conn.execute("insert into doc values (1, 'H\u00f4tel de la Plage', 'pr\u00e8s des ch\u00e2teaux')")
        conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', 'public.plain_french')")

        for query in ("hotel", "h\u00f4tel", "HOTEL", "chateau", "ch\u00e2teau"):
            assert ids(conn, query) == {1}, query
        marked = value(conn, "select passage from pgpipe.text_search('doc', 'hotel')")
        assert "<b>H\u00f4tel</b>" in marked


@also_on_16
def test_beginnings_of_words(conn: Connection) -> None:
    """`word*` is the beginning of one; with `prefix` the last word is, unless a blank ends it or quotes hold it."""
    make_docs(conn)
    conn.execute(
        "insert into doc values (1, 'waterproof jacket', ''), (2, 'waterfall', ''), (3, 'the water', 'jackpot')"
    )
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")

    for counted in (False, True):  # the lexeme table helps ranking; without it the same rows are found
        assert ids(conn, "wat") == set()
        assert ids(conn, "wat*") == {1, 2, 3}
        assert ids(conn, "Waterf*") == ({2} if counted else {2, 3})  # 3 may hold waterful
        assert ids(conn, "wat", prefix=True) == {1, 2, 3}
        assert ids(conn, "jacket waterf", prefix=True) == ({1, 2} if counted else {1, 2, 3})
        assert ids(conn, "jacket waterf ", prefix=True) == ({1, 3} if counted else {1})  # water is near
        assert ids(conn, '"waterproof jack"', prefix=True) == set()
        assert ids(conn, "wat* -jacket") == {2, 3}
        assert ids(conn, "the*") == set()
        assert ids(conn, "* ** -* *a") == set()
        conn.execute("select pgpipe.refresh_search('doc')")
    conn.execute("insert into doc values (4, 'watercolour', '')")
    assert ids(conn, "waterc*") == {4}
    best = column(conn, "select (key ->> 'id')::int from pgpipe.text_search('doc', 'jac*')")
    assert best[0] == 1
    assert value(conn, "select passage from pgpipe.text_search('doc', 'waterf*')") == "<b>waterfall</b>"


ODD = ["", " ", "a", "x", "?", "\u4e2d", "\U0001f600", "the and of", "& | ! <-> ( ) :*", "-", "--", '"', '""', '"" -""']
ODD += [
    "-the",
    "*",
    "'",
    "\\",
    "a:b",
    "<b>",
    "-\U0001f600",
    '"the"',
    "\u200b",
    "\ufeff",
    "%s %",
    "$1",
    "jacket' or 1=1",
]
LONG = ["jacket " * 10_000, "-no " * 10_000, '"rain jacket" ' * 1000, "w*" * 5000, "w* " * 10_000]


@pytest.mark.parametrize("query", one_in(3, [*ODD, *LONG]))
def test_no_question_is_an_error(conn: Connection, query: str) -> None:
    """Empty, of one character, of operators, of stop words, of ten thousand words: an answer, perhaps an empty one."""
    make_docs(conn)
    conn.execute("insert into doc values (1, 'rain jacket \U0001f600 a:b', '-')")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")

    for prefix in (False, True):
        assert ids(conn, query, prefix=prefix) <= {1}


def test_pages(conn: Connection) -> None:
    """Pages of k, one after the other, are the whole list, in its order, and the ranks go on."""
    make_docs(conn, 25)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    page = "select (key ->> 'id')::int, text_rank from pgpipe.text_search('doc', 'title', %s, skip => %s)"

    whole = conn.execute(page, (100, 0)).fetchall()
    pages = [row for skip in range(0, 30, 10) for row in conn.execute(page, (10, skip)).fetchall()]

    assert len(whole) == 25
    assert pages == whole
    assert [rank for _, rank in pages] == list(range(1, 26))


KEPT = {  # as it is named when app, "My Schema" and public are searched, and as it is kept
    "english": "english",
    "product": "app.product",
    '"Mine: ""best"""': '"My Schema"."Mine: ""best"""',
    '"select"': 'public."select"',
}


@pytest.mark.parametrize("online", [False, True])
def test_the_language_is_kept_as_text(conn: Connection, *, online: bool) -> None:
    """V1: the tables hold the qualified name of a configuration, whatever its name and the caller's path."""
    conn.execute('create schema app; create schema "My Schema"; create table doc (id int primary key, title text)')
    conn.execute("insert into doc values (1, 'rain jackets')")
    conn.execute('set search_path = app, "My Schema", public')
    for name, kept in KEPT.items():
        if kept != "english":
            conn.execute(f"create text search configuration {kept} (copy = english)".encode())
        for _ in range(2):  # twice is a no-op
            declare = "select pgpipe.enable_search('doc', '{title=>A}', %s::regconfig, online => %s)"
            conn.execute(declare, (name, online))
        if online:
            conn.execute("call pgpipe.fill_search('doc')")
            for index in column(conn, "select * from pgpipe_internal.search_index_statements('doc')"):
                conn.execute(index.encode())
            conn.execute("select pgpipe_internal.finish_search('doc')")

        assert column(conn, "select language from pgpipe.search") == [kept]
        assert column(conn, "select passage from pgpipe.text_search('doc', 'jacket')") == ["rain <b>jackets</b>"]
        conn.execute("select pgpipe.disable_search('doc')")


def test_only_a_language_is_one(conn: Connection) -> None:
    """V1: a name of no configuration is refused by the table itself, a number and a half-quoted name too."""
    make_docs(conn)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")

    for name in ("klingon", "3748", "", '"', "english.", "pg_catalog.english", None):
        update = sql.SQL("update pgpipe.search set language = {}").format(name).as_string()
        assert sqlstate(conn, update) == "PP003", name


@pytest.mark.parametrize("change", ["drop", "rename"])
def test_a_language_that_went(conn: Connection, change: str) -> None:
    """V1: after a rename or a drop one sentence says it, and another language serves again."""
    conn.execute('create schema "App"; create text search configuration "App".mine (copy = english)')
    make_docs(conn, 2)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}', '\"App\".mine', online => true)")
    if change == "drop":
        conn.execute('drop text search configuration "App".mine cascade')
    else:
        conn.execute('alter text search configuration "App".mine rename to other')

    with pytest.raises(psycopg.Error, match=r'"App"\.mine, by which public\.doc is searched, does not exist'):
        conn.execute("select pgpipe_internal.fill_batch('doc')")
    conn.execute("select pgpipe.disable_search('doc')")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")
    assert ids(conn, "title") == {1, 2}
