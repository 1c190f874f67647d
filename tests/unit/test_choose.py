"""Which text columns are worth searching, decided from a sample."""

from itertools import islice

import pyarrow as pa
import pytest

from pgpipe.choose import choose
from pgpipe.demo import lake

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
