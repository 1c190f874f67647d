"""Parquet drops in S3 to PostgreSQL: loaded once, searchable by keyword and by meaning, kept fresh by triggers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgpipe import distribution

if TYPE_CHECKING:
    from pgpipe.api import embed_query, facets, search, similar, suggest
    from pgpipe.api.asynchronous import AsyncSearcher
    from pgpipe.api.searcher import Searcher
    from pgpipe.pipeline.component import Component
    from pgpipe.pipeline.run import Pipeline
    from pgpipe.pipeline.steps import EmbeddingsGenerator, ParquetImporter, SearchIndexer
    from pgpipe.searching.ask import Hit

__all__ = [
    "AsyncSearcher",
    "Component",
    "EmbeddingsGenerator",
    "Hit",
    "ParquetImporter",
    "Pipeline",
    "SearchIndexer",
    "Searcher",
    "embed_query",
    "facets",
    "search",
    "similar",
    "suggest",
]
__version__ = distribution.VERSION
_HOMES = {
    "AsyncSearcher": "pgpipe.api.asynchronous",
    "Component": "pgpipe.pipeline.component",
    "EmbeddingsGenerator": "pgpipe.pipeline.steps",
    "Hit": "pgpipe.searching.ask",
    "ParquetImporter": "pgpipe.pipeline.steps",
    "Pipeline": "pgpipe.pipeline.run",
    "SearchIndexer": "pgpipe.pipeline.steps",
    "Searcher": "pgpipe.api.searcher",
    "embed_query": "pgpipe.api",
    "facets": "pgpipe.api",
    "search": "pgpipe.api",
    "similar": "pgpipe.api",
    "suggest": "pgpipe.api",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whichever of the public names is asked for
    """Import a public name on first use, so that `pgpipe --help` loads nothing that they need."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
