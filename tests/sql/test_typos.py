"""Typing errors: a word that no row holds is taken for the nearest one that a row does, and said so."""

import random
import re
from pathlib import Path

from pgpipe.db import Connection
from tests.conftest import also_on_16
from tests.sql.support import column, drain, embed, sqlstate, value

DOCS = Path(__file__).parents[2] / "docs"
JACKETS = """
    create table product (id int primary key, title text, description text);
    insert into product values
        (1, 'Waterproof jacket', 'With a hood.'), (2, 'Waterproof jacket for cycling', 'Yellow.'),
        (3, 'Wool hat', 'Warm.'), (4, 'Jackets, waterproof', 'By the dozen.'), (5, 'Tent', 'For two.');
    select pgpipe.enable_search('product', '{title=>A, description=>B}');
    select pgpipe.refresh_search('product')
"""
ASK = "select (key ->> 'id')::int, corrected from pgpipe.text_search('product', %s)"


@also_on_16
def test_misspelt_words_find_what_is_meant(conn: Connection) -> None:
    """`watreproof jaket` finds waterproof jackets; the answer says for which words, and `fuzzy` switches it off."""
    conn.execute(JACKETS)
    found = conn.execute(ASK, ("watreproof jaket",)).fetchall()

    assert {row[0] for row in found} == {1, 2, 4}
    assert {row[1] for row in found} == {"waterproof jacket"}
    assert column(conn, ASK.replace("%s)", "%s, fuzzy => false)"), "watreproof jaket") == []
    passage = value(conn, "select passage from pgpipe.text_search('product', 'jaket -dozen', 1)")
    assert "<b>jacket</b>" in passage
    drain(conn, embed(conn, "product", ["title"]))
    hybrid = "select text_rank, corrected from pgpipe.hybrid_search('product', %s, '[1,0,0]', 1)"
    assert conn.execute(hybrid, ("a jaket",)).fetchone() == (1, "a jacket")


CORRECTED = {
    "jacket hat": None,  # every word is held
    "zzzzzzzz": None,  # nothing is near
    '"jaket"': None,  # a phrase is strict
    "hat -jaket": None,
    "jaket*": None,
    "jak3t": None,  # a code
    "": None,
    "HAT Jaket!": "HAT jacket!",
    "the jaket of jaket": "the jacket of jacket",
    "wool-jakket": "wool-jacket",
    "waterpoofr": "waterproof",  # two errors
    "jaket zzzzzzzz": "jacket zzzzzzzz",
}


@also_on_16
def test_what_is_corrected(conn: Connection) -> None:
    """Bare words only, and nothing that a row holds, also one written since the words were counted."""
    conn.execute(JACKETS)
    corrected = "select pgpipe_internal.corrected_question('product', '{english}', %s, false, true, null)"
    for question, expected in CORRECTED.items():
        assert value(conn, corrected, question) == expected, question
    while_typing = corrected.replace("false", "true")
    assert value(conn, while_typing, "wool jacke") is None
    assert value(conn, while_typing, "wool jakcet") == "wool jacket"
    conn.execute("insert into product values (6, 'Jaket', 'A brand.')")
    assert value(conn, corrected, "jaket") is None
    conn.execute("delete from pgpipe.word")
    assert value(conn, corrected, "wulo") is None


def errors(words: list[str], count: int) -> list[tuple[str, str]]:
    """Words with one error each: a letter missing, too many or another, or two exchanged."""
    chosen = random.Random(15)
    made = []
    while len(made) < count:
        word = chosen.choice(words)
        at, letter = chosen.randrange(len(word)), chosen.choice("abcdefghijklmnopqrstuvwxyz")
        wrong = [
            word[:at] + word[at + 1 :],
            word[:at] + letter + word[at:],
            word[:at] + letter + word[at + 1 :],
            word[:at] + word[at + 1 : at + 2] + word[at : at + 1] + word[at + 2 :],
        ][len(made) % 4]
        if wrong != word:
            made.append((wrong, word))
    return made


def test_generated_errors(conn: Connection) -> None:
    """Issue 15: of 500 generated errors, in words of this documentation, at least 90 % are corrected rightly."""
    lines = [line for file in DOCS.glob("*.md") for line in file.read_text(encoding="utf-8").splitlines() if line]
    conn.execute("create table line (id int generated always as identity primary key, body text)")
    with conn.cursor().copy("copy line (body) from stdin") as copy:
        for line in lines:
            copy.write_row((line,))
    conn.execute("select pgpipe.enable_search('line', '{body=>A}'); select pgpipe.refresh_search('line')")
    words = [w for line in lines for w in re.findall(r"\b[a-z]{5,}\b", line)]  # as often as they are written
    made = errors(words, 800)
    unheld = "select pgpipe_internal.unheld_words(search, '{english}', %s::text[], null) from pgpipe.search"
    wrong = set(value(conn, unheld, [wrong for wrong, _ in made]))
    asked = [pair for pair in made if pair[0] in wrong][:500]
    assert len(asked) == 500
    corrected = "pgpipe_internal.corrected_question('line', '{english}', asked, false, true, null)"
    found = conn.execute(
        f"select asked, {corrected} from unnest(%s::text[]) asked".encode(), ([wrong for wrong, _ in asked],)
    ).fetchall()

    missed = [(*pair, got) for pair, (_, got) in zip(asked, found, strict=True) if pair[1] != got]
    assert len(missed) <= 50, missed


def test_who_sees_no_words_gets_no_corrections(conn: Connection) -> None:
    """Words of a column, or of rows, that a reader may not read come out by no correction."""
    conn.execute(JACKETS)
    conn.execute("create role narrow; grant usage on schema pgpipe to narrow")
    conn.execute("grant select on pgpipe.search, pgpipe.search_fill, pgpipe.lexeme, pgpipe.word to narrow")
    conn.execute("grant select (id, title, search) on product to narrow")
    try:
        conn.execute("set role narrow")
        assert column(conn, ASK, "jaket") == []
        assert column(conn, "select word from pgpipe.word") == []
        assert column(conn, ASK, "jacket") != []
        conn.execute("reset role; grant select on product to narrow; set role narrow")
        assert column(conn, ASK, "jaket") != []
        conn.execute("reset role; alter table product enable row level security")
        conn.execute("create policy few on product using (id = 3); set role narrow")
        assert column(conn, ASK, "jaket") == []
        assert column(conn, "select word from pgpipe.word") == []
        assert sqlstate(conn, "insert into pgpipe.word values ('product', 'poison', 1e9)") == "42501"
        conn.execute("reset role; revoke select on pgpipe.word from narrow; set role narrow")
        assert column(conn, ASK, "hat") == [3]
    finally:
        conn.execute("reset role; drop owned by narrow; drop role narrow")


def test_words_go_with_the_search(conn: Connection) -> None:
    """Also if the target is dropped; numbers, codes and long runs are not words."""
    conn.execute("create table doc (id int primary key, body text)")
    conn.execute("insert into doc values (1, 'Öl x2 4711 a_b be-bop https://example.org ' || repeat('y', 40))")
    conn.execute("select pgpipe.enable_search('doc', '{body=>A}'); select pgpipe.refresh_search('doc')")
    assert column(conn, "select word from pgpipe.word order by 1") == ["bop"]
    conn.execute("select pgpipe.disable_search('doc')")
    assert value(conn, "select count(*) from pgpipe.word") == 0
    conn.execute("select pgpipe.enable_search('doc', '{body=>A}'); select pgpipe.refresh_search('doc'); drop table doc")
    conn.execute(
        "create table other (id int primary key, body text); select pgpipe.enable_search('other', '{body=>A}')"
    )
    assert value(conn, "select count(*) from pgpipe.word") == 0
