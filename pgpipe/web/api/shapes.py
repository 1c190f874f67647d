"""What a request of the API may hold: names, types and limits. OpenAPI is made of these."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from pgpipe.searching.facets import Ranges
from pgpipe.web.asking import FARTHEST, LONGEST, MOST

FACETS, ENTITIES = 10, 20
OPTIONS = frozenset({"skip", "prefix", "fuzzy", "row", "boost", "order_by", "explain"})  # as searches take them
Entity = Annotated[str, Field(min_length=1, max_length=200, description="a name that /v1/entities lists")]
Query = Annotated[str, Field(max_length=LONGEST, description='words or a sentence; "a phrase" must occur, -word not')]
Mode = Annotated[
    Literal["text", "vector", "hybrid"] | None,
    Field(description="by words, by meaning or both; by default the best that the entity has"),
]
K = Annotated[int, Field(ge=1, le=MOST, description="at most so many")]
Where = Annotated[
    dict[str, Any] | None, Field(description='conditions, such as {"brand": "x", "price": {"lt": 20}}; "or", "not"')
]
Facet = str | Ranges
Counted = Annotated[
    list[Facet], Field(max_length=FACETS, description='columns to count by; {"price": [10, 50]} counts ranges')
]


class Request(BaseModel):
    """Names that are not listed are refused: a misspelt one would be ignored."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Search(Request):
    """A question."""

    query: Query
    entity: Entity | Annotated[list[Entity], Field(min_length=1, max_length=ENTITIES)] | None = None
    mode: Mode = None
    k: K = 10
    skip: Annotated[int, Field(ge=0, le=FARTHEST, description="hits of earlier pages")] = 0
    filter: Where = None
    prefix: Annotated[bool, Field(description="the last word is the beginning of one")] = False
    fuzzy: Annotated[bool, Field(description="a word that no row holds is taken for the nearest one")] = True
    row: Annotated[bool, Field(description="each hit has its whole row")] = False
    boost: Annotated[dict[str, dict[str, Any]] | None, Field(description="what columns add to the score")] = None
    order_by: Annotated[
        str | dict[str, str] | list[str | dict[str, str]] | None, Field(description="order of the best hits")
    ] = None
    explain: Annotated[bool, Field(description="details say why each hit has its place")] = False
    facets: Counted = []
    total: Annotated[bool, Field(description="count the rows that match")] = False


class Similar(Request):
    """Rows like one."""

    key: Annotated[dict[str, Any], Field(description="of a row, as a hit has it")]
    entity: Entity | None = None
    k: K = 10
    filter: Where = None
    row: bool = False


class Facets(Request):
    """How many rows match, and how many hold each value of columns."""

    query: Query = ""
    facets: Annotated[list[Facet], Field(min_length=1, max_length=FACETS)]
    entity: Entity | None = None
    mode: Mode = "text"
    k: Annotated[int, Field(ge=1, le=MOST, description="values of each column")] = 10
    filter: Where = None
    prefix: bool = False
    fuzzy: bool = True


class Suggest(Request):
    """Completions of what is typed so far."""

    prefix: Annotated[str, Field(max_length=200)]
    entity: Entity | None = None
    k: K = 10
