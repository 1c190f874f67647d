"""Searches as retrievers of other libraries: one module each, which imports its library."""

from pgpipe.searching.ask import Hit


def text_of(hit: Hit) -> str:
    """What a model reads of a hit, unless a retriever is given something else: its passage."""
    return hit.text
