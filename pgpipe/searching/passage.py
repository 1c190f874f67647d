"""Passages: the words of the question stand between <b> and </b>, all else is the text as the row holds it."""

import re
from collections.abc import Iterator
from html import escape

MARK = re.compile("(</?b>)")


def pieces(passage: str | None) -> Iterator[tuple[str, bool]]:
    """Pieces of a passage, and whether each is marked. A <b> of the row's own text counts as a mark."""
    marked = False
    for piece in MARK.split(passage or ""):
        if MARK.fullmatch(piece):
            marked = piece == "<b>"
        elif piece:
            yield piece, marked


def without_marks(passage: str | None) -> str:
    """The text of a passage alone."""
    return "".join(text for text, _ in pieces(passage))


def as_html(passage: str | None) -> str:
    """The passage for a page: all of it escaped, with the marks as the only tags. Each mark is closed."""
    return "".join(f"<b>{escape(text)}</b>" if marked else escape(text) for text, marked in pieces(passage))
