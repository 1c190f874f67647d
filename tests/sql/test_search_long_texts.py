"""Texts and questions of any length: no write fails for them, and what is left out is said."""

import pytest

from pgpipe.db import Connection, Database
from tests.fixtures.examples import one_in
from tests.sql.support import column, make_docs, value
from tests.sql.test_search_online import fill_all

WORD = "translate(to_hex(n), '0123456789', 'ghijklmnop')"
CYRILLIC = (
    "translate(md5(n::text), '0123456789abcdef', (select string_agg(chr(c), '') from generate_series(1072, 1087) c))"
)
LONG = {  # how often, what, and what is between
    "hashes": (33_000, "md5(n::text)", " "),
    "short words": (270_000, WORD, " "),
    "hyphens": (54_000, f"{WORD} || '-z' || {WORD}", " "),
    "uuids": (30_000, "md5(n::text)::uuid::text", " "),
    "addresses": (39_000, "'https://a' || n || '.com/b/' || n", " "),
    "numbers": (130_000, "(n * 1.7)::text", " "),
    "russian": (16_500, CYRILLIC, " "),
    "short hyphens": (
        130_000,
        "chr(97 + n % 26) || chr(192 + n / 26 % 24) || '-' || chr(97 + n / 99 % 26) || chr(224 + n / 624 % 24)",
        " ",
    ),
    "chinese": (330_000, "chr(19968 + (n::bigint * n * 7919 % 20000)::int)", ""),
    "rare chinese": (270_000, "chr(131072 + (n::bigint * n * 7919 % 40000)::int)", ""),
    "one word": (1_000_000, "'x'", ""),
}


@pytest.mark.parametrize("kind", one_in(3, LONG))
def test_texts_beyond_all_measure(plain_database: Database, kind: str) -> None:
    """V12: whatever the words of three columns are, their row is written, and the beginning of each is searched.

    It holds for both kinds of column.
    """
    with plain_database.connect(autocommit=True) as conn:
        check_endless_texts(conn, *LONG[kind])


def check_endless_texts(conn: Connection, times: int, piece: str, between: str) -> None:
    """Write them, find them, have the column filled again, and write them once more."""
    conn.execute("create table doc (id int primary key, a text, b text, c text)")
    conn.execute("select pgpipe.enable_search('doc', '{a=>A, b=>B, c=>C}', 'simple')")
    text = (
        f"select 'okapi{{0}} ' || string_agg({piece}, '{between}') from generate_series({{1}}, {{1}} + {times // 3}) n"
    )
    texts = ", ".join(f"({text.format(n, n * 700_000)})" for n in range(3))

    conn.execute(f"insert into doc select 1, {texts}".encode())
    searched = "select array_agg(id order by id) from doc where search @@ 'okapi0 & okapi1 & okapi2'"
    assert value(conn, searched) == [1]
    assert len(value(conn, "select passage from pgpipe.text_search('doc', 'okapi1')")) < 10_000
    conn.execute("select pgpipe.alter_search('doc', '{a=>B, b=>A, c=>C}')")
    fill_all(conn)
    conn.execute("insert into doc select 2, b, a, c from doc where id = 1")
    assert value(conn, searched) == [1, 2]


def test_a_dictionary_that_may_make_many_words(database: Database) -> None:
    """V12: of a row whose dictionary nobody knows a quarter as much is searched; unaccent and its like are known."""
    with database.connect(autocommit=True) as conn:
        conn.execute("""
            create text search template mine (init = dsimple_init, lexize = dsimple_lexize);
            create text search dictionary mine (template = mine);
            create text search configuration mine (copy = english);
            create text search configuration plain (copy = english);
            alter text search configuration mine alter mapping for asciiword with mine, english_stem;
            alter text search configuration plain alter mapping for asciiword with simple;
        """)
        most = "select pgpipe_internal.searched_bytes(%s)"
        assert [value(conn, most, name) for name in ("english", "plain", "mine")] == [290_000, 290_000, 72_500]
        conn.execute("create table doc (id int primary key, body text)")
        conn.execute("select pgpipe.enable_search('doc', '{body=>A}', 'mine')")
        for id_, length in ((1, 72_490), (2, 72_500)):
            conn.execute("insert into doc values (%s, rpad('', %s, 'of words ') || ' okapi')", (id_, length))
        assert column(conn, "select id from doc where search @@ 'okapi'") == [1]


def test_a_book_is_searched_whole(conn: Connection) -> None:
    """290,000 bytes, to the last word, whichever column has them; a character may take several."""
    make_docs(conn)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    book = "rpad('', {}, 'many words of a novel, ') || ' okapi'"
    for id_, text in enumerate(
        (book.format(289_990), book.format(290_000), book.format(144_990).replace("novel", "рома́н"))
    ):
        conn.execute(f"insert into doc select {id_}, 'a', {text}".encode())
    conn.execute(f"insert into doc select 3, {book.format(200_000)}, {book.format(140_000)}".encode())
    conn.execute(f"insert into doc select 4, {book.format(200_000)}, {book.format(150_000)}".encode())
    passages = "select array_agg(id order by id) from doc where search @@ 'okapi:{}'"
    assert value(conn, passages.format("B")) == [0, 2, 3]
    assert value(conn, passages.format("A")) is None


@pytest.mark.parametrize("counted", [False, True])
def test_a_question_as_long_as_the_rows(conn: Connection, *, counted: bool) -> None:
    """Of hundreds of words that every row holds: answered, however small the share of rows without any of them."""
    conn.execute("create table doc (id int primary key, body text)")
    text = f"(select string_agg('word' || {WORD}, ' ') from generate_series(1, 300) n)"
    conn.execute(f"insert into doc select id, {text} from generate_series(1, 20) id".encode())
    conn.execute("select pgpipe.enable_search('doc', '{body=>A}')")
    if counted:
        conn.execute("select pgpipe.refresh_search('doc')")

    asked = f"select count(*) from pgpipe.text_search('doc', {text}, 50)"

    assert value(conn, asked) == 20
