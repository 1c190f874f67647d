"""Which text columns are worth searching and embedding, decided from a sample where nothing is declared."""

import re
from dataclasses import dataclass

import pyarrow as pa

from pgpipe.config import Weight

SAMPLE_ROWS = 1000
PROSE_WORDS = 2.5  # words a value on average; ids, codes, urls and versions have one
TITLE_WORDS = 15
# At least two letters between blanks, with the punctuation of a sentence: `f(data,` and `libfoo2` are code.
WORD = re.compile(r"""(?<!\S)[("'“‘*]*[^\W\d_]{2,}(?:['’-][^\W\d_]+)*[)"'”’*.,;:!?]*(?!\S)""")  # noqa: RUF001


@dataclass(frozen=True)
class Choice:
    """A text column and why it is searched, or not."""

    column: str
    weight: Weight | None  # None: left out
    reason: str


def choose(sample: pa.Table) -> list[Choice]:
    """Judge the string columns of a sample: prose is searched, short as a title (A), long as a body (B)."""
    return [
        _judge(field.name, [value for value in sample.column(field.name).to_pylist() if value])
        for field in sample.schema
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    ]


def _judge(name: str, values: list[str]) -> Choice:
    if not values:
        return Choice(name, None, "empty in the sample")
    words = sum(len(WORD.findall(v)) if " " in v.strip() else 1 for v in values) / len(values)
    distinct = len(set(values)) / len(values)
    if words < PROSE_WORDS:
        return Choice(name, None, f"{words:.1f} words a value: an id, a code or an address")
    if distinct < 0.01 and len(values) > SAMPLE_ROWS // 10:  # noqa: PLR2004 - a hundred rows share a value
        return Choice(name, None, f"{len(set(values))} different values: a category")
    weight: Weight = "A" if words <= TITLE_WORDS else "B"
    return Choice(name, weight, f"{words:.1f} words a value: {'titles' if weight == 'A' else 'prose'}")
