"""Keyword search: what a question means, and what ranks before what."""

import json

import pytest

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, make_docs, sqlstate, value

DOCS = [
    (1, "Rain jacket", "A waterproof jacket for long hikes in the rain.", 10),
    (2, "Tent", "A light tent. Keeps the rain out, and any jacket in it dry.", 20),
    (3, "Network sniffer", "Tool to inspect network traffic, packet by packet.", 30),
    (4, "Compressor", "Compress a file or a folder of files.", 40),
    (5, "Coat", "The rain coat. No jacket.", None),
    (6, None, "A waterproof bag.", 60),
]


@pytest.fixture
def docs(conn: Connection) -> Connection:
    """Six docs, title before body."""
    make_docs(conn)
    conn.cursor().executemany("insert into doc values (%s, %s, %s, %s)", DOCS)
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")
    return conn


def ids(conn: Connection, query: str, k: int = 10, where: object = None) -> list[int]:
    """The answers to a question, best first."""
    found = "select (key ->> 'id')::int from pgpipe.text_search('doc', %s, %s, %s)"
    return column(conn, found, query, k, None if where is None else json.dumps(where))


def test_bare_words_are_alternatives(docs: Connection) -> None:
    """Any of the words is enough; a row with more of them, or rarer ones, comes first."""
    assert set(ids(docs, "jacket network")) == {1, 2, 3, 5}
    assert ids(docs, "waterproof jacket rain")[0] == 1
    assert ids(docs, "nothing of this occurs") == []


def test_a_whole_sentence(docs: Connection) -> None:
    """A question as people write it finds its answer, whatever words around it do not occur."""
    assert ids(docs, "Which tool can I use to inspect the traffic in my company's network?")[0] == 3
    assert ids(docs, "how do I compress a file")[0] == 4


def test_phrases_are_strict(docs: Connection) -> None:
    """Words between quotes must stand together; other words then only rank."""
    assert ids(docs, '"rain coat"') == [5]
    assert ids(docs, '"coat rain"') == []
    assert ids(docs, '"rain coat" jacket tent') == [5]
    assert ids(docs, '"waterproof jacket" "long hikes"') == [1]
    assert ids(docs, '"waterproof jacket" "light tent"') == []


def test_minus_is_strict(docs: Connection) -> None:
    """Rows with an excluded word or phrase are no answers."""
    assert set(ids(docs, "jacket -tent")) == {1, 5}
    assert ids(docs, 'jacket -"no jacket"') == []  # stop words within a phrase do not count
    assert set(ids(docs, 'rain -"rain coat" -tent')) == {1}
    assert ids(docs, '"rain coat" -jacket') == []
    assert ids(docs, "well-known jacket") == ids(docs, "jacket")  # a hyphen within a word excludes nothing


ODD = [
    "",
    " \t\n ",
    "the of and is",
    '""',
    '"',
    "-",
    "- -- ---",
    "-jacket",
    '-"the"',
    "& | ! <-> ( ) : *",
    "jacket:*",
    "'; drop table doc; --",
    "it's \\ \\\\ 'quoted' \\'",
    'jacket "unbalanced',
    '-"unbalanced jacket',
    "🙂 🙂🙂 👩‍👩‍👧",
    "naïve café ÜBER straße",
    "日本語 テキスト",
    "a" * 5000,
    '"' + "b" * 3000 + '"',
    "%s %d {} $1 :1",
    "\x01\x7f\u200b",
    "http://example.org/a?b=c#d user@example.org /usr/bin/x -1.5e10",
]


def test_no_question_is_an_error(docs: Connection) -> None:
    """Whatever is typed is answered, with nothing if need be."""
    for query in ODD:
        assert sqlstate(docs, "select pgpipe.text_search('doc', %s)", query) == "", query
    assert value(docs, "select count(*) from doc") == 6


def test_ten_thousand_words(docs: Connection) -> None:
    """A question as long as a book's chapter is answered, in good time."""
    docs.execute("set statement_timeout = '5s'")
    assert set(ids(docs, " ".join(f"word{n}" for n in range(10000)) + " jacket network")) == {1, 2, 3, 5}
    assert set(ids(docs, "jacket " * 10000)) == {1, 2, 5}
    assert ids(docs, "jacket " + " ".join(f"wö{n}-ä{n}" for n in range(60000)), 1) == [1]
    assert ids(docs, '"rain coat" ' * 1000) == [5]


def test_words_of_quotes_and_backslashes(conn: Connection) -> None:
    """Lexemes with quotes and backslashes in them are found as they stand."""
    make_docs(conn)
    conn.execute("create text search configuration raw (parser = default)")
    conn.execute("alter text search configuration raw add mapping for asciiword, word, url, url_path, file with simple")
    conn.execute(r"""insert into doc values (1, 'path', '/a\b''c/d e', 0), (2, 'other', 'x', 0)""")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', 'public.raw')")
    words = column(conn, "select unnest(tsvector_to_array(search)) from doc where id = 1")

    for word in words:
        assert ids(conn, word) == [1], word
    assert value(conn, "select pgpipe_internal.word_query(%s) is not null", r"a\b'c\\''") is True
    assert value(
        conn, "select array_to_tsvector(array[%s]) @@ pgpipe_internal.word_query(%s)", r"a\b'c\\''", r"a\b'c\\''"
    )


def test_title_before_body(conn: Connection) -> None:
    """The same word counts more in a column of weight A than in one of weight B."""
    make_docs(conn)
    conn.execute("insert into doc values (1, 'x y', 'jacket z', 0), (2, 'jacket x', 'y z', 0)")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")

    assert ids(conn, "jacket") == [2, 1]


def test_rare_words_before_common_ones(conn: Connection) -> None:
    """Of two rows with one asked word each, that with the rarer word comes first."""
    make_docs(conn, 50)
    conn.execute("update doc set body = case when id = 33 then 'rare thing' else 'common thing' end")
    conn.execute("select pgpipe.enable_search('doc', '{body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")

    assert ids(conn, "common rare")[0] == 33
    assert len(ids(conn, "common rare", 100)) == 50


def test_a_word_asked_twice_counts_twice(conn: Connection) -> None:
    """Repeating a word gives it weight."""
    make_docs(conn)
    conn.execute("insert into doc values (1, null, 'alpha', 0), (2, null, 'beta', 0)")
    conn.execute("select pgpipe.enable_search('doc', '{body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")

    assert ids(conn, "alpha beta beta") == [2, 1]
    assert ids(conn, "alpha beta alpha") == [1, 2]
    scores = "select score from pgpipe.text_search('doc', %s)"
    assert value(conn, scores, "beta beta") == pytest.approx(2 * value(conn, scores, "beta"))


@also_on_16
def test_bm25f_by_hand(conn: Connection) -> None:
    """The score is the formula's: idf · f · 2.2 / (f + 1.2 · (0.25 + 0.75 · length / mean length))."""
    make_docs(conn)
    conn.execute("insert into doc values (1, 'jacket', 'jacket rain', 0), (2, 'tent', 'rain rain rain', 0)")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")

    idf = 0.6931471805599453  # ln(1 + (2 - 1 + 0.5) / (1 + 0.5)): in one of two documents
    expected = idf * 2.5 * 2.2 / (2.5 + 1.2 * (0.25 + 0.75 * 3 / 3.5))  # 1.5 in the title, 1 in the body; 7 words in 2
    assert value(conn, "select score from pgpipe.text_search('doc', 'jackets')") == pytest.approx(expected)


@pytest.mark.parametrize("state", ["never counted", "emptied", "stale"])
def test_without_figures(docs: Connection, state: str) -> None:
    """The lexeme table only sharpens the ranking: without it, or with an old one, the same rows are found."""
    if state == "never counted":
        docs.execute("update pgpipe.search set documents = 0, mean_length = 0, refreshed_at = null")
    if state != "stale":
        docs.execute("delete from pgpipe.lexeme")
    docs.execute("insert into doc select n, 'tent', 'camping stove', 0 from generate_series(100, 150) n")

    assert ids(docs, "waterproof jacket rain")[0] == 1
    assert set(ids(docs, "jacket network")) == {1, 2, 3, 5}
    assert len(ids(docs, "stove", 100)) == 51


def test_what_is_written_is_found_at_once(docs: Connection) -> None:
    """The next statement finds an inserted or changed row, and no longer a deleted one."""
    docs.execute("insert into doc values (7, 'Zither', 'strings', 0)")
    assert ids(docs, "zither") == [7]
    docs.execute("update doc set title = 'Guitar' where id = 7")
    assert (ids(docs, "zither"), ids(docs, "guitar")) == ([], [7])
    docs.execute("delete from doc where id = 7")
    assert ids(docs, "guitar") == []


def test_k_and_ties(docs: Connection) -> None:
    """No more than k rows; rows of equal score in the order of their keys, always the same."""
    docs.execute("insert into doc select n, 'twin', 'twin', 0 from generate_series(100, 120) n")

    assert ids(docs, "twin", 5) == [100, 101, 102, 103, 104]
    assert ids(docs, "jacket", 1) == ids(docs, "jacket")[:1]
    assert ids(docs, "jacket", 0) == []


@also_on_16
def test_few_rows_hold_the_rare_word(docs: Connection) -> None:
    """Where a word is too common to look through, rows that hold it still fill up the answer."""
    docs.execute("insert into doc select n, 'common', 'common word', 0 from generate_series(100, 140) n")
    docs.execute(
        "insert into pgpipe.lexeme values ('doc'::regclass, 'common', 1000000), ('doc'::regclass, 'word', 1000000)"
    )
    docs.execute("update pgpipe.search set documents = 2000000")

    found = ids(docs, "zebra common sniffer", 10)

    assert found[0] == 3
    assert len(found) == 10
    assert ids(docs, 'sniffer "common word"', 3) == [100, 101, 102]
    assert ids(docs, "common sniffer -sniffer", 2) == [100, 101]


@also_on_16
def test_the_answer(docs: Connection) -> None:
    """Key, falling score, title, the passage with its words marked; on request the row without its search column."""
    rows = docs.execute(
        """select key, score, passage, row, title
             from pgpipe.text_search('doc', 'waterproof jackets', options => '{"row": true}')"""
    ).fetchall()

    assert rows[0][0] == {"id": 1}
    assert [r[1] for r in rows] == sorted((r[1] for r in rows), reverse=True)
    assert "<b>waterproof</b> <b>jacket</b>" in rows[0][2]
    assert rows[0][3:] == ({"id": 1, "title": "Rain jacket", "body": DOCS[0][2], "size": 10}, "Rain jacket")
    assert next(r[2] for r in rows if r[0] == {"id": 6}) == "A <b>waterproof</b> bag."


def test_language(conn: Connection) -> None:
    """Words are reduced, and stop words left out, by the language of the search column."""
    make_docs(conn)
    conn.execute(
        "insert into doc values (1, 'Das Häuschen', 'Viele Häuser und Bäume', 0), (2, 'Die Stadt', 'und mehr', 0)"
    )
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', language => 'german')")

    assert ids(conn, "Haus") == [1]
    assert ids(conn, "Baum") == [1]
    assert ids(conn, "und die das") == []


def test_without_declaration_or_key(conn: Connection) -> None:
    """A table that is not declared, or has no primary key, is refused with a sentence that says what to do."""
    make_docs(conn)
    conn.execute("create table keyless (title text)")
    conn.execute("select pgpipe.enable_search('keyless', '{title=>A}')")

    assert sqlstate(conn, "select pgpipe.text_search('doc', 'x')") == "PP005"
    assert sqlstate(conn, "select pgpipe.refresh_search('doc')") == "PP005"
    assert sqlstate(conn, "select pgpipe.text_search('keyless', 'x')") == "PP007"
