"""Which text columns are worth searching and embedding, and their language, from a sample where nothing is declared."""

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pgpipe.settings.entity import Weight

if TYPE_CHECKING:
    import pyarrow as pa

SAMPLE_ROWS = 1000
PROSE_WORDS = 2.5  # words a value on average; ids, codes, urls and versions have one
NAME_WORDS = 1.5  # of a short name, such as a product's, where most of the value is words and most values differ
NAME_SHARE = 0.6
TITLE_WORDS = 15
STOP_SHARE = 0.04  # of the words of prose are among the few most common ones of its language
STOP_WORDS = 3  # so many different ones
# At least two letters between blanks, with the punctuation of a sentence: `f(data,` and `libfoo2` are code.
WORD = re.compile(r"""(?<!\S)[("'“‘*]*[^\W\d_]{2,}(?:['’-][^\W\d_]+)*[)"'”’*.,;:!?]*(?!\S)""")  # noqa: RUF001
# Scripts that put no blanks between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese. Two make about a word.
UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
# Ten common words of each language, by the names of PostgreSQL's configurations.
COMMON = {
    "danish": "af ikke og jeg til hvad efter blev være hende",
    "dutch": "het een van niet zijn voor aan ook maar naar",
    "english": "the of and to is that with for this from",
    "finnish": "ja on ei että se ovat mutta kuin myös hän",
    "french": "les des une est dans pour qui du sur et",
    "german": "der die und das nicht ist mit ein auf für",
    "hungarian": "az és hogy nem egy ez meg csak volt már",
    "italian": "il di che gli della sono nel con più è",
    "norwegian": "ikke og jeg til etter ble være henne hva fra",
    "portuguese": "não uma os dos das em ao pelo são com",
    "romanian": "și nu este din pentru care sunt mai fost după",
    "russian": "не на что как это для или чтобы так был",
    "spanish": "el los las una por con para del y es",
    "swedish": "och att inte är det som av för på med",
    "turkish": "ve bir bu için ile çok daha gibi olarak değil",
}
COMMON_IN = {
    word: [name for name, words in COMMON.items() if word in words.split()]
    for word in " ".join(COMMON.values()).split()
}


@dataclass(frozen=True)
class Choice:
    """A text column and why it is searched, or not."""

    column: str
    weight: Weight | None  # None: left out
    reason: str
    language: str | None = None  # a configuration of PostgreSQL; None: not known, or left out


def choose(sample: "pa.Table") -> list[Choice]:
    """Judge the string columns of a sample: prose is searched, short as a title (A), long as a body (B)."""
    import pyarrow as pa

    kinds = {pa.string(), pa.large_string(), pa.string_view()}
    return [_judge(field.name, _texts(sample.column(field.name))) for field in sample.schema if field.type in kinds]


def _texts(column: "pa.ChunkedArray[Any]") -> list[str]:
    """What a choice is made from; bytes that are not UTF-8 are not prose."""
    import pyarrow as pa

    found = column.cast(pa.large_string()).cast(pa.large_binary()).to_pylist()
    return [value.decode(errors="ignore") for value in found if value]


def language_of(texts: Iterable[str]) -> str | None:
    """The language whose common words these texts have most of; None where no language stands out."""
    seen: dict[str, Counter[str]] = {name: Counter() for name in COMMON}
    total = 0
    for text in texts:
        words = [word.lower() for word in re.findall(r"[^\W\d_]+", text)]
        total += len(words)
        for word in words:
            for name in COMMON_IN.get(word, ()):
                seen[name][word] += 1
    first, second = sorted(COMMON, key=lambda name: seen[name].total(), reverse=True)[:2]
    most = seen[first].total()
    # One word alone may be anything: the IL of an address is not Italian.
    known = len(seen[first]) >= STOP_WORDS and most >= STOP_SHARE * total and most > seen[second].total()
    return first if known else None


def _judge(name: str, values: list[str]) -> Choice:
    if not values:
        return Choice(name, None, "empty in the sample")
    words = sum(map(_words, values)) / len(values)
    distinct = len(set(values)) / len(values)
    if sum(map(_is_json, values)) > len(values) / 2:
        return Choice(name, None, "JSON")
    if words < PROSE_WORDS and not (words >= NAME_WORDS and distinct >= NAME_SHARE and _share(values) >= NAME_SHARE):
        return Choice(name, None, f"{words:.1f} words a value: an id, a code or an address")
    if distinct < 0.01 and len(values) > SAMPLE_ROWS // 10:  # noqa: PLR2004 - a hundred rows share a value
        return Choice(name, None, f"{len(set(values))} different values: a category")
    weight: Weight = "A" if words <= TITLE_WORDS else "B"
    language = language_of(values)
    kind = "titles" if weight == "A" else "prose"
    return Choice(name, weight, f"{words:.1f} words a value: {kind}{f' in {language}' if language else ''}", language)


def _words(value: str) -> float:
    unspaced = len(UNSPACED.findall(value))
    spaced = len(WORD.findall(UNSPACED.sub(" ", value))) if " " in value.strip() else 0 if unspaced else 1
    return spaced + unspaced / 2


def _share(values: list[str]) -> float:
    """Which part of what stands between blanks is words: not much of `AB 12 XL 44`."""
    pieces = sum(len(value.split()) for value in values)
    return sum(map(_words, values)) / max(pieces, 1)


def _is_json(value: str) -> bool:
    if value.lstrip()[:1] not in {"{", "["}:
        return False
    try:
        json.loads(value)
    except ValueError:
        return False
    return True
