"""Text as people write it: what finds what, beginnings while they are typed, phrases, versions of search columns."""

import re
from html import unescape
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.fixtures.examples import examples
from tests.sql.support import column, make_docs, value
from tests.sql.test_search_online import fill_all

PAGE = (Path(__file__).parents[2] / "docs/search.md").read_text(encoding="utf-8")
TABLE = PAGE.partition("<!-- what finds what")[2].partition("<!-- end of what finds what")[0]
ROWS = re.findall(r"^\| `(.*?)` \| (.*) \|$", TABLE, re.MULTILINE)
CODE = re.compile("`(.*?)`")
OLD = "update pgpipe.search set version = 1"


def ids(conn: Connection, query: str, *, prefix: bool = False, fuzzy: bool = False) -> list[int]:
    """The answers to a question, best first."""
    found = "select (key ->> 'id')::int from pgpipe.text_search('doc', %s, 100, prefix => %s, fuzzy => %s)"
    return column(conn, found, query, prefix, fuzzy)


def declared(conn: Connection, *titles: str, online: bool = False) -> None:
    """Docs of these titles, from 1 on."""
    make_docs(conn)
    conn.cursor().executemany("insert into doc values (%s, %s)", list(enumerate(titles, 1)))
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}', online => %s)", (online,))
    fill_all(conn)


@pytest.mark.parametrize("online", [False, True])
def test_what_finds_what(conn: Connection, *, online: bool) -> None:
    """V17, V21: each row of the table in docs/search.md holds, in both kinds of column, before and after counting."""
    assert len(ROWS) > 20
    declared(conn, *(unescape(text) for text, _ in ROWS), online=online)
    for _ in range(2):
        for id_, (text, questions) in enumerate(ROWS, 1):
            found, _, lost = questions.partition("; not ")
            for question in CODE.findall(found):
                assert id_ in ids(conn, unescape(question)), (text, question)
            for question in CODE.findall(lost):
                assert id_ not in ids(conn, unescape(question)), (text, question)
        conn.execute("select pgpipe.refresh_search('doc')")


def test_as_typed_comes_first(conn: Connection) -> None:
    """A code brings its own row before those that share parts with it; C brings a text about C."""
    codes = ["AB-1234/6", "AB 5 and 77", "CD-1234/5", "node and some js", "C++ C++ C++", "all about C"]
    declared(conn, "AB-1234/5 in stock", *codes, "node.js")
    conn.execute("select pgpipe.refresh_search('doc')")
    assert ids(conn, "AB-1234/5")[0] == 1
    assert ids(conn, "node.js")[0] == 8
    assert ids(conn, "C") == [7]
    assert ids(conn, "C++") == [6]


def test_markup_stays_markup(conn: Connection) -> None:
    """A tag is not a word, whatever is in it; a passage lacks tags, as with PostgreSQL, and nothing else."""
    text = 'see <a href="http://x.org/y_z.html">node.js</a> or C++/Qt<br/>, C#, input/output &amp; more'
    declared(conn, text)
    for word in ("br", "a", "href", "html"):
        assert ids(conn, word) == [], word
    passage = value(conn, "select passage from pgpipe.text_search('doc', 'js c++ qt c# output')")
    assert passage.replace("<b>", "").replace("</b>", "") == re.sub("<[^>]*>", " ", text)
    assert re.findall("<b>(.*?)</b>", passage) == ["js", "C++", "Qt", "C#", "output"]


@settings(max_examples=examples(30, 300), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.sampled_from("abC+#./@-_<>& 1\n\u4e2d\u56fd\u00e9e\u0301\u00ad\ufb01\uff21\u2019.NET"), max_size=30)
)
def test_rows_and_questions_are_read_alike(conn: Connection, text: str) -> None:
    """The expression of the column and the function that reads questions make the same of any text."""
    expression = value(conn, "select pgpipe_internal.written_expression('simple', %s)", "%s::text")
    written = "pgpipe_internal.written('simple', %s, 2)"
    assert value(conn, f"select {written} = {expression}", text, *[text] * expression.count("%s")) is True
    shown = value(conn, "select pgpipe_internal.unwritten(pgpipe_internal.written('simple', %s, 2, true))", text)
    assert shown == text or re.search("[\u0301\u00ad\ufb01\uff21]", text)


@pytest.mark.parametrize("step", [47, pytest.param(1, marks=pytest.mark.long)])
def test_no_row_disappears_while_its_word_is_typed(conn: Connection, step: int) -> None:
    """V18: letter by letter, each word of a collection goes on finding its row; counted or not."""
    words = sorted(set(re.findall("[A-Za-z]{3,}", PAGE)))
    words = [w for w in words[::step] if value(conn, "select to_tsvector('english', %s) <> ''", w)]
    words += ["organization", "running", "hoping", "dying", "happiness", "generalizations", "universities"]
    declared(conn, *words)
    lost = """
        select word.title, left(word.title, n)
          from doc word cross join generate_series(1, length(word.title)) n
         where not exists (
               select from pgpipe_internal.beginning_words(
                           (select known from pgpipe.search known), 'english', left(word.title, n)) begun
                where word.search @@ pgpipe_internal.word_query(begun.lexeme, begun.open))
    """
    assert len(words) > 10
    assert conn.execute(lost).fetchall() == []
    conn.execute("select pgpipe.refresh_search('doc')")
    assert conn.execute(lost).fetchall() == []
    for n in (3, 6, 9, 10, 11, 12):
        assert len(words) - 6 in ids(conn, "organization"[:n], prefix=True, fuzzy=True), n


@pytest.mark.parametrize(
    ("language", "word"),
    [
        ("german", "Verantwortlichkeiten"),
        ("german", "H\u00e4user"),
        ("french", "g\u00e9n\u00e9ralisations"),
        ("russian", "\u0431\u0435\u0433\u0430\u044e\u0449\u0438\u0445"),
        ("simple", "running"),
    ],
)
def test_beginnings_in_other_languages(conn: Connection, language: str, word: str) -> None:
    """V18: in any language with a stemmer, from the first letter to the last."""
    make_docs(conn)
    conn.execute("insert into doc values (1, %s)", (word,))
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}', %s)", (language,))
    for n in range(1, len(word) + 1):
        assert ids(conn, word[:n] + "*") == [1], word[:n]


@also_on_16
def test_phrases_stay_within_columns(conn: Connection) -> None:
    """V19: the end of one column and the beginning of the next are no phrase, also of columns of one weight."""
    conn.execute("create table doc (id int primary key, a text, b text, c text)")
    conn.execute("insert into doc values (1, 'New York', 'City guide', 'to eat'), (2, 'x', 'New York City', 'guide')")
    conn.execute("select pgpipe.enable_search('doc', '{a=>A, b=>B, c=>B}')")
    assert ids(conn, '"York City"') == [2]
    assert ids(conn, '"new york"') == [1, 2]
    assert ids(conn, 'guide -"york city"') == [1]
    assert ids(conn, '"city guide"') == [1]
    assert ids(conn, '"guide eat"') == []
    assert value(conn, "select length(search) from doc where id = 1") == 5


@also_on_16
def test_stars_and_lone_exclusions(conn: Connection) -> None:
    """V20: a star counts behind a minus and in a phrase; an exclusion alone lists the rest, page by page."""
    declared(conn, "rain jacket", "rain coat", "winter jackpot", "boots", "an organization")
    assert ids(conn, "rain winter -jack*") == [2]
    assert ids(conn, '"rain jack*"') == [1]
    assert ids(conn, '"rain ja*" coat') == [1]
    assert ids(conn, "-boots") == [1, 2, 3, 5]
    assert ids(conn, "-boots -organizati*") == [1, 2, 3]
    assert ids(conn, "-the") == []
    page = "select (key ->> 'id')::int from pgpipe.text_search('doc', '-boots', 2, skip => 2, filter => %s)"
    assert column(conn, page, '{"id": {"gte": 2}}') == [5]
    assert value(conn, "select passage from pgpipe.text_search('doc', '-boots', 1)") == "rain jacket"


@also_on_16
def test_an_older_column_keeps_its_meaning(conn: Connection) -> None:
    """A column of before answers as before, is named with what to do, and follows alter_search while it serves."""
    make_docs(conn)
    old = value(conn, "select pgpipe_internal.search_expression('doc', '{\"title\": \"A\"}', 'english', version => 1)")
    conn.execute("insert into doc values (1, 'node.js and C++'), (2, 'C')")
    conn.execute("select pgpipe.enable_search('doc', '{title=>A}')")
    assert value(conn, "select pgpipe_internal.search_doubt('doc')") is None
    conn.execute("alter table doc drop column search")
    conn.execute(f"alter table doc add search tsvector generated always as ({old}) stored".encode())
    conn.execute(OLD)

    assert (ids(conn, "node.js"), ids(conn, "js"), set(ids(conn, "C++"))) == ([1], [], {1, 2})
    doubt = value(conn, "select pgpipe_internal.search_doubt('doc')")
    assert "earlier version" in doubt
    ensure = "select pgpipe_internal.ensure_search('doc', '{title=>A}', 'english')"
    assert value(conn, ensure) is False  # a load leaves it
    conn.execute(re.search(r"select pgpipe\.alter_search\(.*?\)", doubt)[0].encode())  # type: ignore[index]
    conn.execute("insert into doc values (3, 'node.js')")
    assert (ids(conn, "js"), set(ids(conn, "node.js"))) == ([], {1, 3})
    fill_all(conn)
    assert (set(ids(conn, "js")), ids(conn, "C++")) == ({1, 3}, [1])
    assert value(conn, "select pgpipe_internal.search_doubt('doc')") is None
