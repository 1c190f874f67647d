"""Search as tools for language models, by the Model Context Protocol: `pgpipe mcp`."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict
from typing import Annotated, Any, Literal, TypeVar

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.types import ToolAnnotations
from psycopg_pool import AsyncConnectionPool
from pydantic import Field

from pgpipe.api.asynchronous import AsyncSearcher
from pgpipe.db import Database
from pgpipe.db.pool import async_pool
from pgpipe.distribution import VERSION
from pgpipe.errors import PgpipeError
from pgpipe.searching.ask import Hit
from pgpipe.secret import mask
from pgpipe.settings.model import Settings

T = TypeVar("T")
SIZE = 4  # connections
READS = ToolAnnotations(read_only_hint=True, open_world_hint=False)
INSTRUCTIONS = """
Tables of a company, searched by words and by meaning. Call `describe` first: it names the tables and their columns.
`search` finds rows of one table, `similar` those that are like a row. `facets` counts the values of a column among the
rows that match.
"""

Query = Annotated[str, Field(max_length=2000, description='words or a sentence; "a phrase" must occur, -word must not')]
Entity = Annotated[str | None, Field(description="a table that describe names; may be left out if there is only one")]
Mode = Annotated[
    Literal["text", "vector", "hybrid"] | None,
    Field(description="by words, by meaning, or both; by default the best that the table has"),
]
Where = Annotated[
    dict[str, Any] | None,
    Field(description='conditions on columns, such as {"brand": "x", "price": {"lt": 20}}; also "or" and "not"'),
]


def create_server(settings: Settings) -> MCPServer:
    """The server: tools that read, on connections whose transactions may not write."""
    database = Database(settings.database.for_reading())
    pool = async_pool(database, SIZE, read_only=True)
    searcher = AsyncSearcher(pool, settings=settings)

    server = MCPServer("pgpipe", version=VERSION, instructions=INSTRUCTIONS.strip(), lifespan=_opened(pool))
    _add_finders(server, searcher)
    _add_overviews(server, searcher)
    return server


def _add_finders(server: MCPServer, searcher: AsyncSearcher) -> None:
    @server.tool(annotations=READS)
    async def search(
        query: Query,
        entity: Entity = None,
        mode: Mode = None,
        k: Annotated[int, Field(ge=1, le=50)] = 10,
        filter: Where = None,  # noqa: A002 - the word of the search
        with_row: Annotated[bool, Field(description="add all columns of each row")] = False,
    ) -> list[dict[str, Any]]:
        """Find rows that answer a question, the best first: key, title, passage and score."""
        return [_hit(hit) for hit in await _said(searcher.search(query, entity, mode, k, filter, row=with_row))]

    @server.tool(annotations=READS)
    async def similar(
        key: Annotated[dict[str, Any], Field(description="of a row, as search returns it")],
        entity: Entity = None,
        k: Annotated[int, Field(ge=1, le=50)] = 10,
        filter: Where = None,  # noqa: A002 - the word of the search
    ) -> list[dict[str, Any]]:
        """Find the rows that are most like one."""
        return [_hit(hit) for hit in await _said(searcher.similar(key, entity, k, filter))]


def _add_overviews(server: MCPServer, searcher: AsyncSearcher) -> None:
    @server.tool(annotations=READS)
    async def describe() -> list[dict[str, Any]]:
        """List the tables that can be searched, with their columns, types and modes."""
        return [_described(asdict(table)) for table in await _said(searcher.describe())]

    @server.tool(annotations=READS)
    async def facets(
        query: Query,
        columns: Annotated[list[str], Field(min_length=1, max_length=10, description="names of columns")],
        entity: Entity = None,
        k: Annotated[int, Field(ge=1, le=50, description="values of each column")] = 10,
        filter: Where = None,  # noqa: A002 - the word of the search
    ) -> dict[str, Any]:
        """Count how many rows match the words of a question, and how many hold each value of some columns."""
        return asdict(await _said(searcher.facets(query, columns, entity, "text", k, filter)))


def _opened(pool: AsyncConnectionPool[Any]) -> Callable[[MCPServer], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(_server: MCPServer) -> AsyncIterator[None]:
        async with pool:
            yield

    return lifespan


async def _said(answer: Awaitable[T]) -> T:
    """The answer; an error is the one line that the model gets."""
    try:
        return await answer
    except PgpipeError as exc:
        raise ToolError(mask(str(exc))) from None


def _hit(hit: Hit) -> dict[str, Any]:
    found = {"key": hit.key, "score": round(hit.score, 4), "title": hit.title, "passage": hit.text, "row": hit.row}
    if hit.rerank_score is not None:  # the list is in the order of this
        found["rerank_score"] = round(hit.rerank_score, 4)
    return {name: value for name, value in found.items() if value is not None}


def _described(table: dict[str, Any]) -> dict[str, Any]:
    columns = [{name: value for name, value in column.items() if name != "oid"} for column in table["columns"]]
    return table | {"columns": columns}
