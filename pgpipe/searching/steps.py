"""What a search asks for on its way: rows of the database, or the vector of a question."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from pgpipe.searching.ask import Searchable, Statement

T = TypeVar("T")


@dataclass(frozen=True)
class Encode:
    """A step: the vector of a question, by the model of the target's embedding."""

    query: str
    target: Searchable


Step = Statement[Any] | Encode
# Each step is answered with the rows of its statement, or with its vector.
Steps = Generator[Step, Any, T]
