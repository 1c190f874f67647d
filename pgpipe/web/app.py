"""The web application: routes, what each answers, and errors as one line."""

import json
from collections.abc import Collection
from dataclasses import asdict
from functools import partial
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from pgpipe import errors
from pgpipe.api.vectors import ModelLoading
from pgpipe.db import Database
from pgpipe.metrics import DatabaseMetrics
from pgpipe.plain import plain
from pgpipe.searching.ask import SearchMode, fetch
from pgpipe.searching.asking import take
from pgpipe.searching.facets import parse_facet
from pgpipe.searching.suggest import suggestions
from pgpipe.secret import mask
from pgpipe.web import views
from pgpipe.web.asking import COMPARISONS, MODES, Answer, Models, ask, facets, parse_question
from pgpipe.web.guard import LOOPBACK, Guard
from pgpipe.web.queries import Overview, Overviews, reading

STATUS: dict[type[errors.PgpipeError], int] = {
    ModelLoading: 503,
    errors.Unreachable: 503,
    errors.SchemaMissing: 503,
    errors.ModelError: 503,
    errors.VectorsMissing: 409,
    errors.UsageError: 400,
    errors.DataError: 400,
}


class Page:
    """The endpoints over one database."""

    def __init__(self, database: Database, models: Models) -> None:
        self._database = database
        self._models = models
        self._templates = views.environment()
        self._overviews = Overviews(database)
        self._metrics = CollectorRegistry()
        self._metrics.register(DatabaseMetrics(database))

    def index(self, request: Request) -> Response:
        """The page. With a question in it, its answers in three modes side by side."""
        conditions = _conditions(request)
        answers, refused = [], None
        shown = self._overviews.get()
        for name in {e["model"] for entity in shown.entities.values() for e in entity.embeddings}:
            self._models.start(name)
        if request.query_params.get("q", "").strip():
            try:
                asked = parse_question(request.query_params, conditions)
                with reading(self._database) as conn:
                    answers = ask(conn, self._models, asked, self._database.schema)
            except errors.UsageError as exc:
                refused = str(exc)
        return self._html(
            "index.html",
            400 if refused else 200,
            overview=shown,
            answers=answers,
            refused=refused,
            asked=request.query_params,
            conditions=[*conditions, ("", "eq", "")],
            comparisons=COMPARISONS,
            further=_further(request, answers),
            exact=f"?{request.url.include_query_params(fuzzy='false').query}",
            unread=f"?{request.url.include_query_params(rerank='false').query}",
            loading=any(isinstance(answer.error, ModelLoading) for answer in answers),
        )

    def live(self, _request: Request) -> Response:
        """The part of the page that changes by itself: entities, loads, queues."""
        return self._html("live.html", overview=self._overviews.get())

    def search(self, request: Request) -> Response:
        """One question in one mode, by default the best that the entity has."""
        asked = parse_question(request.query_params)
        mode = _mode(request)
        if not asked.question.query:
            raise errors.UsageError("ask something: ?q=…")
        with reading(self._database) as conn:
            (answer,) = ask(conn, self._models, asked, self._database.schema, [mode])
        if answer.error:
            raise answer.error
        return _json({"hits": [asdict(hit) for hit in answer.hits]})

    def facets(self, request: Request) -> Response:
        """How many rows match, and how many hold each value of the columns `facet`."""
        asked = parse_question(request.query_params)
        columns = [parse_facet(text) for text in request.query_params.getlist("facet")]
        with reading(self._database) as conn:
            found = facets(conn, self._models, asked, columns, _mode(request), self._database.schema)
        return _json(asdict(found))

    def suggest(self, request: Request) -> Response:
        """Completions of what is typed into the search box."""
        asked = parse_question(request.query_params)
        with reading(self._database) as conn:
            typed = request.query_params.get("q", "")  # a blank at its end says that a word is complete
            steps = suggestions(typed, asked.entity, asked.question.k, self._database.schema)
            found = take(steps, partial(fetch, conn), self._models.vector)
        return _json({"suggestions": [asdict(each) for each in found]})

    def status(self, _request: Request) -> Response:
        """Entities with their last load and their queues."""
        return _json({"entities": [views.as_json(e) for e in self._whole().entities.values()]})

    def throughput(self, _request: Request) -> Response:
        """What the plots are drawn from."""
        entities = self._whole().entities.values()
        series = [{n: e[n] for n in ("entity", "name", "throughput")} for x in entities for e in x.embeddings]
        return _json({"loads": [load for entity in entities for load in entity.loads], "embeddings": series})

    def metrics(self, _request: Request) -> Response:
        """Gauges for Prometheus."""
        return Response(generate_latest(self._metrics), media_type="text/plain; version=0.0.4; charset=utf-8")

    def healthz(self, _request: Request) -> Response:
        """Whether the database answers."""
        with reading(self._database):
            return _json({"status": "ok"})

    def failed(self, request: Request, exc: Exception) -> Response:
        """An error as one line: JSON for programs, a page for people."""
        if isinstance(exc, HTTPException):
            code, line = exc.status_code, f"{exc.detail}: {request.url.path}"
        elif not isinstance(exc, errors.PgpipeError):
            code, line = 500, f"a fault of pgpipe: {type(exc).__name__}; the log of `pgpipe serve` says where"
        else:
            code = next((code for kind, code in STATUS.items() if isinstance(exc, kind)), 500)
            line = mask(str(exc))
        if request.url.path.startswith("/api/") or request.url.path == "/healthz":
            return _json({"error": line}, code)
        return self._html("error.html", code, line=line, asked=request.query_params.multi_items())

    def _whole(self) -> Overview:
        """The overview with nothing left out: a program would take a part for the whole."""
        shown = self._overviews.get()
        if shown.note:
            raise errors.Unreachable(shown.note)
        return shown

    def _html(self, template: str, code: int = 200, **values: Any) -> Response:  # noqa: ANN401 - what a template shows
        return HTMLResponse(self._templates.get_template(template).render(values), code)


def create_app(database: Database, models: Models, hosts: Collection[str] = LOOPBACK) -> ASGIApp:
    """The application.

    Args:
        database: where to read; a role that may only read is enough.
        models: that turn questions into vectors.
        hosts: names that a request may call this server by.
    """
    page = Page(database, models)
    routes = [
        Route("/", page.index),
        Route("/live", page.live),
        Route("/api/search", page.search),
        Route("/api/facets", page.facets),
        Route("/api/suggest", page.suggest),
        Route("/api/status", page.status),
        Route("/api/throughput", page.throughput),
        Route("/metrics", page.metrics),
        Route("/healthz", page.healthz),
        Mount("/static", StaticFiles(directory=views.FOLDER / "static")),
    ]
    handlers = dict.fromkeys((errors.PgpipeError, HTTPException, Exception), page.failed)
    return Guard(Starlette(routes=routes, exception_handlers=handlers), hosts)


def _mode(request: Request) -> SearchMode | None:
    """The mode of a request; None if it names none."""
    given = request.query_params.get("mode") or None
    mode = next((m for m in MODES if m == given), None)
    if mode != given:
        raise errors.UsageError(f"mode is one of {', '.join(MODES)}")
    return mode


def _conditions(request: Request) -> list[tuple[str, str, str]]:
    """The filter fields of the form that are filled in."""
    fields = (request.query_params.getlist(name) for name in ("column", "is", "value"))
    return [(column, comparison, value) for column, comparison, value in zip(*fields, strict=False) if column]


def _further(request: Request, answers: list[Answer]) -> str:
    """The address of the next hits; empty where no mode filled its page."""
    if not any(answer.hits and len(answer.hits) == answer.asked.k for answer in answers):
        return ""
    question = answers[0].asked
    return f"?{request.url.include_query_params(skip=question.skip + question.k).query}"


def _json(value: Any, code: int = 200) -> Response:  # noqa: ANN401 - whatever an endpoint answers
    return Response(json.dumps(value, ensure_ascii=False, default=plain), code, media_type="application/json")
