"""Which text columns are worth searching, decided from a sample."""

from itertools import islice

import pyarrow as pa
import pytest

from pgpipe.choose import choose
from pgpipe.demo import lake
from pgpipe.searching.declare import plan_search
from pgpipe.settings.entity import EntitySettings

PROSE = 'Compresses a file, and says why it couldn\'t; see (the manual) "of it" for more.'
NOT_PROSE = {
    "an id": [f"row-{n}" for n in range(200)],
    "a url": [f"https://example.org/a/b c/{n}" for n in range(200)],
    "a version": [f"1.2.{n} ~rc1 +b2" for n in range(200)],
    "code": [f"open_{n}(file, mode='r', *, encoding=None, errors=None, newline=None)" for n in range(200)],
    "dependencies": [f"libc6 (>= 2.{n}), libgcc-s1 (>= 3.0), zlib1g (>= 1:1.2.0)" for n in range(200)],
    "one word": ["prose"] * 5,
    "numbers": [f"{n} 22 333 4444 55555" for n in range(200)],
    "a category": ["one of two kinds of thing", "another of two kinds of thing"] * 300,
    "JSON": ['{"name": "some words in here", "tags": ["a few", "more words"]}'] * 200,
    "an e-mail address": [f"someone{n}@example.org" for n in range(200)],
    "a hash": [f"{n:032x}" for n in range(200)],
    "a path": [f"/var/lib/a file/{n}/of them.txt" for n in range(200)],
    "a telephone number": [f"+49 30 1234 {n}" for n in range(200)],
    "an article number": [f"AB {n} XL 44" for n in range(200)],
    "a status": [("in stock", "on order", "sold out")[n % 3] for n in range(200)],
    "coordinates": [f"{n / 7:.5f}, {n / 3:.5f}" for n in range(200)],
    "a time": [f"2026-01-01 10:00:{n:02d}" for n in range(60)],
    "nothing": [None, "", None],
    "blanks": ["  ", " \n"],
}


@pytest.mark.parametrize("case", NOT_PROSE)
def test_what_is_no_prose_is_left_out(case: str) -> None:
    """And the reason is said."""
    (choice,) = choose(pa.table({"c": pa.array(NOT_PROSE[case], pa.string())}))

    assert choice.weight is None
    assert choice.reason


def test_prose_is_searched() -> None:
    """Short as a title, long as a body; NULLs and other columns do no harm."""
    table = pa.table(
        {
            "title": pa.array([f"How to compress file {n}" for n in range(50)] + [None], pa.large_string()),
            "body": [f"{PROSE} {PROSE} {n}" for n in range(50)] + [""],
            "kind": pa.array([PROSE] * 51).dictionary_encode(),
            "price": [1.5] * 51,
        }
    )

    choices = {c.column: c.weight for c in choose(table)}

    assert choices["title"] == "A"
    assert choices["body"] == "B"
    assert "price" not in choices


def test_few_rows_are_no_category() -> None:
    """The same sentence in all of a handful of rows says little."""
    (choice,) = choose(pa.table({"c": [PROSE] * 5}))

    assert choice.weight == "A"


def test_an_empty_sample_chooses_nothing() -> None:
    """No column, or no row."""
    assert choose(pa.table({})) == []
    assert [c.weight for c in choose(pa.table({"c": pa.array([], pa.string())}))] == [None]


def test_the_documentation_of_python() -> None:
    """On real text: the summary and the text behind it, not names and signatures."""
    found = list(islice((row for entity, row in lake.documented() if entity == "function"), 300))

    weights = {c.column: c.weight for c in choose(pa.Table.from_pylist(found, schema=lake.SCHEMA))}

    assert weights == {"name": None, "module": None, "signature": None, "summary": "A", "doc": "B"}


UNSPACED = {
    "chinese": "\u8fd9\u662f\u4e00\u4ef6\u9632\u6c34\u7684\u5916\u5957\uff0c\u9002\u5408\u957f\u9014\u5f92\u6b65",
    "japanese": "\u3053\u308c\u306f\u9632\u6c34\u30b8\u30e3\u30b1\u30c3\u30c8\u3067\u3059",
    "thai": "\u0e40\u0e2a\u0e37\u0e49\u0e2d\u0e01\u0e31\u0e19\u0e19\u0e49\u0e33\u0e2a\u0e33\u0e2b\u0e23\u0e31\u0e1a",
}


@pytest.mark.parametrize("script", UNSPACED)
def test_text_without_blanks(script: str) -> None:
    """Scripts that put none between words are prose like any other."""
    (choice,) = choose(pa.table({"c": [f"{UNSPACED[script]}{n}" for n in range(200)]}))

    assert choice.weight


def test_short_names() -> None:
    """Two words and a number name a product: searched, as a title."""
    (choice,) = choose(pa.table({"c": [f"Waterproof jacket {n}" for n in range(200)]}))

    assert choice.weight == "A"


LANGUAGES = {
    "english": "The jacket keeps the rain out and is light, for long walks with that dog of yours.",
    "german": "Die Jacke h\u00e4lt den Regen ab und ist leicht, ein Begleiter f\u00fcr lange Wege, nicht nur mit Hund.",
    "french": "La veste est faite pour les longues marches dans les bois, du matin au soir, sur les pistes.",
    "spanish": "La chaqueta es ligera y buena para las caminatas largas por el bosque, con los amigos del barrio.",
    "italian": "La giacca leggera per le passeggiate nel bosco con gli amici che sono della valle di Lana.",
    "dutch": "Het jasje is licht en niet duur, een vriend voor lange wandelingen naar het bos, ook van de winkel.",
    "russian": "Куртка не промокает, как это бывает на дожде, или для леса.",
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language(language: str) -> None:
    """Prose is recognised by its common words, and the search is declared in it."""
    (choice,) = choices = choose(pa.table({"c": [f"{LANGUAGES[language]} {n}" for n in range(50)]}))

    assert choice.language == language
    assert language in choice.reason
    declared = plan_search(EntitySettings(), choices).declaration
    assert declared is not None
    assert declared.language == language


def test_no_language_stands_out() -> None:
    """A word of a language is not yet its prose: then the default of the configuration holds."""
    (choice,) = choices = choose(pa.table({"c": [f"{n} Main Street, Springfield, IL 627{n}" for n in range(200)]}))

    assert choice.language is None
    declared = plan_search(EntitySettings(), choices).declaration
    assert declared is not None
    assert declared.language == "english"
