"""The application of the API: its endpoints, and what is around them."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from pgpipe.db import Database, translated
from pgpipe.db.pool import async_pool
from pgpipe.distribution import VERSION
from pgpipe.errors import PgpipeError, UsageError
from pgpipe.settings.model import Settings
from pgpipe.web.api import shapes
from pgpipe.web.api.acting import ActingSearcher
from pgpipe.web.api.answers import answer, error, failed, hits
from pgpipe.web.api.shield import Meters, Shield
from pgpipe.web.api.tokens import SOONEST, Known, Tokens
from pgpipe.web.asking import Models
from pgpipe.web.guard import LOOPBACK, Guard

if TYPE_CHECKING:
    from pgpipe.searching.ask import Options

OPEN = frozenset({"/health", "/ready"})  # probes call a machine by its address
LOOKUPS = 2  # connections for tokens
SEARCHERS = 1000  # that are kept


class Api:
    """What the endpoints need: pools, tokens, and a searcher for each token."""

    def __init__(self, settings: Settings, models: Models) -> None:
        serve = settings.serve
        self._settings = settings
        self._models = models
        self.pool = async_pool(serving(settings), serve.connections, read_only=True)
        self.lookups = async_pool(keeping(settings), LOOKUPS)
        self.tokens = Tokens(self.lookups)
        self._looking = asyncio.Lock()
        self._looked: PgpipeError | None = None
        self._looked_until = 0.0
        self._searchers: dict[str, tuple[Known, ActingSearcher]] = {}

    @asynccontextmanager
    async def lifespan(self, _app: FastAPI) -> AsyncIterator[None]:
        """Pools are open while the server runs."""
        self._models.start(self._settings.embedding.model)
        async with self.lookups, self.pool:
            yield

    def searcher(self, request: Request) -> ActingSearcher:
        """That of the request's token."""
        token: Known = request.scope["pgpipe.token"]
        known, found = self._searchers.get(token.token_id, (None, None))
        if found is None or known != token:  # it is new, or was changed
            if len(self._searchers) >= SEARCHERS:
                self._searchers.clear()
            found = ActingSearcher(self.pool, self._settings, self._models, token)
            self._searchers[token.token_id] = token, found
        return found

    async def ready(self) -> Response:
        """Whether tokens can be checked and questions answered."""
        async with self._looking:  # who comes meanwhile has that answer too: anybody may ask
            if time.monotonic() >= self._looked_until:
                self._looked = await self._look()
                self._looked_until = time.monotonic() + SOONEST
            return failed(self._looked) if self._looked else answer({"status": "ok"})

    async def _look(self) -> PgpipeError | None:
        try:
            await self.tokens.look()
            with translated():
                async with self.pool.connection(1) as conn:
                    await conn.execute("select")
        except PgpipeError as exc:
            return exc
        return None


def serving(settings: Settings) -> Database:
    """Where questions go."""
    read = settings.database.for_reading()
    return Database(read.model_copy(update={"url": settings.serve.url}) if settings.serve.url else read)


def keeping(settings: Settings) -> Database:
    """Where tokens are checked: a server that can be written to."""
    wanted = settings.serve.tokens_url or settings.serve.url
    return Database(settings.database.model_copy(update={"url": wanted}) if wanted else settings.database)


def create_api(settings: Settings, models: Models, meters: Meters | None = None) -> ASGIApp:
    """The application, with everything around it."""
    api, serve = Api(settings, models), settings.serve
    app = FastAPI(title="pgpipe", version=VERSION, lifespan=api.lifespan, docs_url=None, redoc_url=None)
    _add_probes(app, api)
    _add_searches(app, api)
    _add_errors(app)
    shield = Shield(app, api.tokens.admit, serve.max_requests, serve.timeout, meters or Meters())
    cors = CORSMiddleware(
        shield,
        allow_origins=serve.origins,
        allow_methods=["GET", "POST"],
        allow_headers=["authorization", "content-type"],
        expose_headers=["retry-after"],
        allow_credentials=False,
        max_age=600,
    )
    return Guard(cors, hosts(settings), OPEN)


def hosts(settings: Settings) -> Collection[str]:
    """The names that a request may call the server by."""
    host = settings.serve.host
    return {*LOOPBACK, f"[{host}]" if ":" in host else host, *settings.serve.hostnames}


def _add_probes(app: FastAPI, api: Api) -> None:
    @app.get("/health", tags=["probes"])
    async def health() -> Response:
        """Say that the process answers."""
        return answer({"status": "ok"})

    @app.get("/ready", tags=["probes"])
    async def ready() -> Response:
        """Say whether the databases answer too."""
        return await api.ready()


def _add_searches(app: FastAPI, api: Api) -> None:
    Asking = Annotated[ActingSearcher, Depends(api.searcher)]  # noqa: N806 - a type
    secured = [Depends(HTTPBearer(auto_error=False))]  # for OpenAPI; the shield has looked at it

    @app.post("/v1/search", dependencies=secured)
    async def search(asked: shapes.Search, searcher: Asking) -> Response:
        """Find rows that answer a question, the best first; of several entities, in one list."""
        options: dict[str, Any] = asked.model_dump(include=set(shapes.OPTIONS))
        entity = asked.entity
        found = await searcher.search(asked.query, entity, asked.mode, asked.k, asked.filter, **options)
        body: dict[str, Any] = {"hits": hits(found)}
        if asked.facets or asked.total:
            body |= await _counted(searcher, asked)
        return answer(body)

    @app.post("/v1/similar", dependencies=secured)
    async def similar(asked: shapes.Similar, searcher: Asking) -> Response:
        """Find the rows that are most like one."""
        found = await searcher.similar(asked.key, asked.entity, asked.k, asked.filter, row=asked.row)
        return answer({"hits": hits(found)})

    @app.post("/v1/facets", dependencies=secured)
    async def facets(asked: shapes.Facets, searcher: Asking) -> Response:
        """Count the rows that match, and those that hold each value of some columns."""
        return answer(await _counted(searcher, asked))

    @app.post("/v1/suggest", dependencies=secured)
    async def suggest(asked: shapes.Suggest, searcher: Asking) -> Response:
        """Complete what is typed so far."""
        found = await searcher.suggest(asked.prefix, asked.entity, asked.k)
        return answer({"suggestions": [vars(each) for each in found]})

    @app.get("/v1/entities", dependencies=secured)
    async def entities(searcher: Asking) -> Response:
        """List what this token may search, with columns, types and modes."""
        found = await searcher.describe()
        columns = [[{"name": c.name, "type": c.type, "searched": c.searched} for c in t.columns] for t in found]
        tables = zip(found, columns, strict=True)
        return answer({"entities": [{"entity": t.entity, "modes": t.modes, "columns": c} for t, c in tables]})


async def _counted(searcher: ActingSearcher, asked: shapes.Search | shapes.Facets) -> dict[str, Any]:
    """The total and the facets of a question."""
    many = asked.entity if isinstance(asked.entity, list) else [asked.entity]
    if len(many) > 1:
        raise UsageError("facets and totals are of one entity")
    k = asked.k if isinstance(asked, shapes.Facets) else 10
    how: Options = {"prefix": asked.prefix, "fuzzy": asked.fuzzy}
    found = await searcher.facets(asked.query, asked.facets, many[0], asked.mode or "text", k, asked.filter, **how)
    return {"total": vars(found.total) if found.total else None, "facets": [vars(each) for each in found.values]}


def _add_errors(app: FastAPI) -> None:
    @app.exception_handler(PgpipeError)
    async def ours(_request: Request, exc: PgpipeError) -> Response:
        return failed(exc)

    @app.exception_handler(HTTPException)
    async def framework(_request: Request, exc: HTTPException) -> Response:
        names = {404: "not_found", 405: "method_not_allowed"}
        return error(exc.status_code, names.get(exc.status_code, "bad_request"), str(exc.detail).lower())

    @app.exception_handler(RequestValidationError)
    async def misshapen(_request: Request, exc: RequestValidationError) -> Response:
        first = exc.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the body"
        return error(400, "bad_request", f"{place[:100]}: {first['msg'][:200]}")

    @app.exception_handler(Exception)
    async def fault(_request: Request, _exc: Exception) -> Response:
        return error(500, "internal", "a fault of pgpipe; the log of the server says where")
