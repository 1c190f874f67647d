"""What a server says, in whatever language it speaks: nothing depends on its English."""

from types import SimpleNamespace

import pytest

from pgpipe.load.write.copy import refused_at
from pgpipe.mask import said

COLUMNS = ["2", "text", "my text", "価格"]


@pytest.mark.parametrize(
    "words",
    [
        "COPY {}, line {}, column {}",
        "COPY {}, Zeile {}, Spalte {}",
        "{}のCOPY、行 {}、列 {}",
        "{} 복사, {}번째 줄, {} 열",
        "COPY {}, 第 {} 行, 列 {}",
        "COPY {}, строка {}, столбец {}",
    ],
)
@pytest.mark.parametrize("table", ["product", "product 2", "2026, line 7"])
def test_where_a_row_was_refused(words: str, table: str) -> None:
    """L2: the row and the column of a COPY are found, whatever the language of the server's messages."""
    inner = 'PL/pgSQL function f() line 3 at RAISE\nSQL statement "select 1"\n'
    for column in COLUMNS:
        assert refused_at(inner + words.format(table, 42, column), table, COLUMNS) == (42, column)
    assert refused_at("COPY " + table + ", rad 42", table, COLUMNS) == (42, None)
    assert refused_at("", table, COLUMNS) == (None, None)


@pytest.mark.parametrize("quotes", ["“”", "«»", "»«", "„“", "「」", '""'])
def test_values_are_not_shown(quotes: str) -> None:
    """L2: a value stands in quotes of that language, and is left out."""
    exc = Exception()
    exc.sqlstate = "22P02"  # type: ignore[attr-defined]
    exc.diag = SimpleNamespace(message_primary=f"uuid: {quotes[0]}secret{quotes[1]}")  # type: ignore[attr-defined]
    assert said(exc) == 'uuid: "…"'
