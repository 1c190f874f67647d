"""The OpenAPI document of the JSON endpoints, written by hand: five paths do not need a framework."""

from typing import Any

from pgpipe import __version__

Schema = dict[str, Any]

ERROR: Schema = {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
HIT: Schema = {
    "type": "object",
    "properties": {
        "key": {"type": "object", "description": "the row's key, by column"},
        "score": {"type": "number", "description": "text: BM25F; vector: cosine similarity; hybrid: rank fusion"},
        "text_rank": {"type": ["integer", "null"], "description": "its place among the keyword answers, from 1"},
        "vector_rank": {"type": ["integer", "null"]},
        "passage": {"type": ["string", "null"], "description": "text, words of the question between <b> and </b>"},
        "row": {"type": "object", "description": "the row, without its search column"},
    },
}
COUNT: Schema = {"type": "integer", "minimum": 0}
MOMENT: Schema = {"type": "string", "description": "date and time"}
LOAD: Schema = {
    "type": "object",
    "properties": {
        "entity": {"type": "string"},
        "date": {"type": "string", "format": "date"},
        "state": {"enum": ["running", "done", "failed"]},
        "started_at": MOMENT,
        "seconds": {"type": "number"},
        **dict.fromkeys(("read", "inserted", "updated", "deleted", "unchanged"), COUNT),
        "error": {"type": ["string", "null"]},
    },
}
EMBEDDING: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "model": {"type": "string"},
        "dims": {"type": "integer"},
        **dict.fromkeys(("waiting", "leased", "dead"), COUNT),
        "oldest_seconds": {"type": ["number", "null"], "description": "age of the oldest living job"},
        "estimated": {
            "type": "boolean",
            "description": "whether the number of jobs is an estimate",
        },
        "rows": {"type": ["integer", "null"], "description": "that are to have vectors; of a large table an estimate"},
        "coverage": {"type": ["number", "null"], "description": "share of them whose vectors are up to date"},
        "rate": {"type": ["number", "null"], "description": "jobs a second over the last minute"},
        "eta_seconds": {"type": ["number", "null"], "description": "until the queue is empty, at that rate"},
        "paused": {"type": "boolean"},
    },
}
ENTITY: Schema = {
    "type": "object",
    "properties": {
        "entity": {"type": "string"},
        "rows": {"type": ["integer", "null"], "description": "about"},
        "search": {"type": ["object", "null"], "description": "weight of each search column"},
        "embeddings": {"type": "array", "items": EMBEDDING},
        "last_load": {"anyOf": [LOAD, {"type": "null"}]},
    },
}


def _parameter(name: str, text: str, schema: Schema, *, required: bool = False) -> Schema:
    return {"name": name, "in": "query", "description": text, "required": required, "schema": schema}


def _answers(text: str, schema: Schema, kind: str = "application/json") -> Schema:
    failed = {"description": "one line: what is wrong", "content": {"application/json": {"schema": ERROR}}}
    return {"200": {"description": text, "content": {kind: {"schema": schema}}}, "default": failed}


def _array(items: Schema, name: str) -> Schema:
    return {"type": "object", "properties": {name: {"type": "array", "items": items}}}


SEARCH: Schema = {
    "summary": "Ask one entity in one mode",
    "parameters": [
        _parameter(
            "q", 'words or a sentence; "phrases" must occur, -words must not', {"type": "string"}, required=True
        ),
        _parameter("entity", "may be left out where there is only one", {"type": "string"}),
        _parameter("mode", "text needs no model", {"enum": ["text", "vector", "hybrid"], "default": "text"}),
        _parameter("k", "at most so many hits", {"type": "integer", "minimum": 1, "maximum": 100, "default": 10}),
        _parameter(
            "skip", "leave out so many, those of the pages before", {"type": "integer", "minimum": 0, "default": 0}
        ),
        _parameter("filter", 'JSON, such as {"brand": "x", "price": {"lt": 20}}', {"type": "string"}),
    ],
    "responses": _answers("the hits, best first", _array(HIT, "hits")),
}
POINT: Schema = {
    "type": "object",
    "properties": {"at": {"type": "number", "description": "seconds since 1970, start of five minutes"}, "jobs": COUNT},
}
SERIES: Schema = {
    "type": "object",
    "properties": {
        "entity": {"type": "string"},
        "name": {"type": "string"},
        "throughput": {"type": "array", "items": POINT},
    },
}
THROUGHPUT: Schema = {
    "type": "object",
    "properties": {
        "loads": {"type": "array", "items": LOAD, "description": "the last 30 of each entity"},
        "embeddings": {"type": "array", "items": SERIES},
    },
}
PATHS: dict[str, Schema] = {
    "/api/search": SEARCH,
    "/api/status": {
        "summary": "Entities, last loads and queues",
        "responses": _answers("all", _array(ENTITY, "entities")),
    },
    "/api/throughput": {
        "summary": "Loads, and rows embedded in each five minutes of the last six hours",
        "responses": _answers("both series", THROUGHPUT),
    },
    "/metrics": {"summary": "Gauges for Prometheus", "responses": _answers("text", {"type": "string"}, "text/plain")},
    "/healthz": {
        "summary": "Whether the database answers: 200 or 503",
        "responses": _answers("it does", {"type": "object", "properties": {"status": {"const": "ok"}}}),
    },
}


def document() -> Schema:
    """The document; only GET is served."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "pgpipe", "version": __version__, "description": "What `pgpipe serve` answers. Reads only."},
        "paths": {path: {"get": operation} for path, operation in PATHS.items()},
    }
