"""What a search asks for on its way: rows of the database, the vector of a question, or scores of its answers."""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, TypeVar

from pgpipe.searching.ask import Searchable, Statement
from pgpipe.settings.entity import RerankDeclaration

T = TypeVar("T")


@dataclass(frozen=True)
class Encode:
    """A step: the vector of a question, by the model of the target's embedding."""

    query: str
    target: Searchable


@dataclass(frozen=True)
class Rerank:
    """A step: how well the texts answer the question, by a model that reads both."""

    query: str
    texts: list[str]
    by: RerankDeclaration


@dataclass(frozen=True)
class Scored:
    """Scores of the first texts; of none if the model failed."""

    scores: list[float]
    fault: str | None = None  # why there is none, as one line
    seconds: float = 0.0


Step = Statement[Any] | Encode | Rerank
# Each step is answered with the rows of its statement, with its vector, or with Scored.
Steps = Generator[Step, Any, T]
