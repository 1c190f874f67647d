"""Scripts without blanks between words: any two characters are found, and passages are the text that was written."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import sql

from pgpipe.db import Connection, Database
from pgpipe.searching import fill
from tests.conftest import also_on_16
from tests.fixtures.examples import examples
from tests.sql.support import column, make_docs, value

CHINESE = "\u4eba\u4eec\u559d\u8336\uff0c\u4e5f\u559d\u5496\u5561\u3002\u4e2d\u56fd\u7684\u57ce\u5e02"
MIXED = "\u7528PostgreSQL\u6570\u636e\u5e93\u7ba1\u7406\u57ce\u5e02\u7684databases 3.14"
JAPANESE = "\u30c7\u30fc\u30bf\u30d9\u30fc\u30b9\u5165\u9580\u30fb\u691c\u7d22"
KOREAN = "\ub370\uc774\ud130\ubca0\uc774\uc2a4\ub97c \ubc30\uc6b0\uc790"
GERMAN = "Die H\u00e4user \u201eam Wald\u201c"
RARE = "\U00020bb7\u91ce\u5bb6"  # beyond the first 65536 characters
TEXTS = [CHINESE, MIXED, JAPANESE, KOREAN, GERMAN, RARE]
TEA, COFFEE, CITY, DATABASE = "\u8336", "\u5496\u5561", "\u57ce\u5e02", "\u6570\u636e\u5e93"
DATA = DATABASE[:2]

ALPHABET = st.sampled_from("\u4e2d\u56fd\u8336\u30c7\u30fc\u30bf\ub370 ab\u00e9,\uff0c\u3002<>/\n")


def ids(conn: Connection, query: str, *, prefix: bool = False) -> list[int]:
    """The answers to a question, best first."""
    found = "select (key ->> 'id')::int from pgpipe.text_search('doc', %s, prefix => %s)"
    return column(conn, found, query, prefix)


def passages(conn: Connection, query: str) -> list[str]:
    """Their passages."""
    return column(conn, "select passage from pgpipe.text_search('doc', %s)", query)


def declared(conn: Connection, language: str = "english", *, online: bool = False) -> None:
    """A doc in each script, from 1 on, searched by a generated column or by one that a trigger keeps."""
    make_docs(conn)
    conn.cursor().executemany("insert into doc values (%s, null, %s)", list(enumerate(TEXTS, 1)))
    declare = "select pgpipe.enable_search('doc', '{title=>A, body=>B}', %s, online => %s)"
    conn.execute(declare, (language, online))
    if online:
        for target in fill.pending(conn):
            assert fill.fill(conn, target, lambda _rows: None)
    conn.execute("select pgpipe.refresh_search('doc')")


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("language", ["english", "german", "simple"])
def test_a_word_within_a_sentence(conn: Connection, language: str, *, online: bool) -> None:
    """Two characters are found wherever they stand, one too, in any language, in both kinds of column."""
    declared(conn, language, online=online)

    assert ids(conn, COFFEE) == [1]
    assert set(ids(conn, CITY)) == {1, 2}
    assert ids(conn, TEA) == [1]
    assert ids(conn, "\u5e93") == [2]  # the last of its run
    assert ids(conn, DATABASE) == ids(conn, DATA) == [2]
    assert ids(conn, f"{COFFEE}\u3002") == [1]
    assert ids(conn, "\u691c\u7d22") == ids(conn, "\u30d9\u30fc\u30b9") == [3]
    assert ids(conn, "\ub370\uc774\ud130") == [4]
    assert ids(conn, "\u91ce\u5bb6") == ids(conn, RARE[:2]) == [6]
    assert (
        ids(conn, "postgresql") == ids(conn, "3.14") == ids(conn, "databases") == [2]
    )  # set off from what surrounds it
    assert ids(conn, "\u56fd\u5e02") == []
    assert ids(conn, "\u6570*") == ids(conn, "\u6570", prefix=True) == [2]
    assert ids(conn, "wald") == [5]


@also_on_16
def test_phrases_and_exclusions(conn: Connection) -> None:
    """Quoted, characters stand as they were typed, across scripts too; behind a minus they must not."""
    declared(conn)

    assert ids(conn, '"\u4e2d\u56fd\u7684\u57ce\u5e02"') == ids(conn, '"\u56fd\u7684\u57ce"') == [1]
    assert ids(conn, '"\u57ce\u5e02\u7684\u4e2d\u56fd"') == []
    assert ids(conn, f'"postgresql {DATA}"') == ids(conn, f'"PostgreSQL{DATABASE}"') == [2]
    assert ids(conn, f'"{CITY}\u7684 databases"') == [2]
    assert ids(conn, f'"{DATABASE} postgresql"') == []
    assert ids(conn, f'"{TEA}\uff0c\u4e5f"') == ids(conn, f'"{TEA}"') == [1]
    assert ids(conn, f"{CITY} -{DATABASE}") == ids(conn, f'{CITY} -"{DATABASE}"') == [1]
    assert ids(conn, f"{CITY} -{TEA}") == [2]
    assert set(ids(conn, f"{CITY} -\u6570\u5e93")) == {1, 2}


def test_the_best_comes_first(conn: Connection) -> None:
    """A question without blanks is many words: the row that holds most of it, or what is rare, comes first."""
    make_docs(conn)
    rows = [f"{CITY}\u5f88\u5927", f"{CITY}\u7684{DATABASE}", f"{CITY}", f"{DATABASE}"]
    conn.cursor().executemany("insert into doc values (%s, null, %s)", list(enumerate(rows, 1)))
    conn.execute("insert into doc select n, null, %s from generate_series(10, 40) n", (f"{CITY}\u7684\u4eba",))
    conn.execute("select pgpipe.enable_search('doc', '{title=>A, body=>B}')")
    conn.execute("select pgpipe.refresh_search('doc')")

    assert ids(conn, f"\u54ea\u4e9b{CITY}\u6709{DATABASE}\uff1f")[:2] == [4, 2]
    assert ids(conn, f"{CITY}\u7684{DATABASE}")[0] == 2
    conn.execute("insert into doc values (50, %s, null)", (CITY,))
    assert ids(conn, CITY)[0] == 50  # in the title


@pytest.mark.parametrize("online", [False, True])
def test_what_is_written_is_found_at_once(conn: Connection, *, online: bool) -> None:
    """The next statement finds it, and no longer what was there before."""
    declared(conn, online=online)

    conn.execute("insert into doc values (7, %s, null)", (f"{JAPANESE}{COFFEE}",))
    assert set(ids(conn, COFFEE)) == {1, 7}
    conn.execute("update doc set title = %s, body = %s where id = 7", (CITY, KOREAN))
    assert ids(conn, COFFEE) == [1]
    assert set(ids(conn, CITY)) == {1, 2, 7}


def test_passages_are_the_text_as_written(conn: Connection) -> None:
    """Nothing is put between the characters, neighbours are marked together, and the rest is as without."""
    declared(conn)

    assert passages(conn, f"{DATABASE}") == [MIXED.replace(DATABASE, f"<b>{DATABASE}</b>")]
    (part,) = passages(conn, COFFEE)
    assert f"<b>{COFFEE}</b>" in part
    assert part.startswith("… ") and part.replace("<b>", "").replace("</b>", "").strip("… ") in CHINESE  # noqa: PT018
    assert passages(conn, "databases") == [MIXED.replace("databases", "<b>databases</b>")]
    assert passages(conn, "wald") == [GERMAN.replace("Wald", "<b>Wald</b>")]


@settings(max_examples=examples(20, 60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(ALPHABET, max_size=40), cut=st.tuples(st.integers(0, 40), st.integers(1, 8)))
def test_any_piece_is_found(conn: Connection, text: str, cut: tuple[int, int]) -> None:
    """Whatever is cut out of a run is found as a phrase; pairing can be undone. The column's expression pairs alike."""
    paired = "pgpipe_internal.paired('simple', %s)"
    expression = value(conn, "select pgpipe_internal.paired_expression('simple', %s)", "%s::text")
    assert value(conn, f"select {paired} = {expression}", text, *[text] * expression.count("%s")) is True
    assert value(conn, f"select pgpipe_internal.unpaired({paired})", text) == text
    piece = text[cut[0] : cut[0] + cut[1]]
    if piece and all(c > "\u3002" and c != "\uff0c" for c in piece):
        declared = "jsonb_populate_record(null::pgpipe.search, '{\"version\": 1}')"
        matches = f"select to_tsvector('simple', {paired}) @@ pgpipe_internal.phrase_query({declared}, 'simple', %s)"
        assert value(conn, matches, text, piece) is True
        assert value(conn, matches, text.replace(piece, " "), piece) is False


def test_other_text_is_left_alone(conn: Connection) -> None:
    """Where no such character is, the parser gets the very text."""
    for text in ("", "water\x1fproof", GERMAN, "caf\u00e9 \U0001f600 \u0e01\u0e02", "\u0434\u043e\u043c"):
        assert value(conn, "select pgpipe_internal.paired('simple', %s)", text) == text
    assert value(conn, "select pgpipe_internal.paired('simple', null)") == ""


def test_a_parser_that_knows_the_language(conn: Connection) -> None:
    """A configuration with a parser of its own gets text and questions as they are."""
    conn.execute("""
        create text search parser own (start = prsd_start, gettoken = prsd_nexttoken, end = prsd_end,
                                       lextypes = prsd_lextype, headline = prsd_headline)""")
    conn.execute("create text search configuration own (parser = own)")
    conn.execute("alter text search configuration own add mapping for asciiword, word with simple")
    declared(conn, "own")

    assert ids(conn, "\u4e2d\u56fd\u7684\u57ce\u5e02") == [1]  # the run as that parser has it
    assert ids(conn, CITY) == []
    assert passages(conn, "\u4e2d\u56fd\u7684\u57ce\u5e02")[0].endswith("<b>\u4e2d\u56fd\u7684\u57ce\u5e02</b>")


def test_a_writer_needs_nothing_of_pgpipe(database: Database) -> None:
    """Whoever may insert into the table may, without any right on the schema pgpipe: in both kinds of column."""
    for online in (False, True):
        with database.connect(autocommit=True) as conn:
            declared(conn, online=online)
            role = sql.Identifier(f"writer_{online}_{value(conn, 'select current_database()')}"[:60].lower())
            conn.execute(sql.SQL("create role {}; grant insert on doc to {}").format(role, role))
            with conn.transaction():
                conn.execute(sql.SQL("set local role {}").format(role))
                conn.execute("insert into doc values (7, null, %s)", (f"\u5927{COFFEE}",))
            assert set(ids(conn, COFFEE)) == {1, 7}
            conn.execute(sql.SQL("drop owned by {role}; drop role {role}; drop table doc").format(role=role))


def test_any_collation(plain_database: Database) -> None:
    """A column may be compared by whatever rules: its text is searched all the same."""
    with plain_database.connect(autocommit=True) as conn:
        conn.execute("create collation loose (provider = icu, locale = 'und-u-ks-level1', deterministic = false)")
        conn.execute("create table doc (id int primary key, body text collate loose)")
        conn.execute("select pgpipe.enable_search('doc', '{body=>A}')")
        conn.execute("insert into doc values (1, %s)", (MIXED,))

        assert ids(conn, CITY) == ids(conn, "databases") == [1]
        assert passages(conn, CITY) == [MIXED.replace(CITY, f"<b>{CITY}</b>")]
