"""Parquet drops in S3 to PostgreSQL: loaded once, searchable by keyword and by meaning, kept fresh by triggers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pgpipe import distribution

if TYPE_CHECKING:
    from pgpipe.api import search
    from pgpipe.component import Component
    from pgpipe.components import EmbeddingsGenerator, ParquetImporter, SearchIndexer
    from pgpipe.pipeline import Pipeline
    from pgpipe.search.query import Hit

__all__ = [
    "Component",
    "EmbeddingsGenerator",
    "Hit",
    "ParquetImporter",
    "Pipeline",
    "SearchIndexer",
    "search",
]
__version__ = distribution.VERSION
_HOMES = {
    "Component": "pgpipe.component",
    "EmbeddingsGenerator": "pgpipe.components",
    "Hit": "pgpipe.search.query",
    "ParquetImporter": "pgpipe.components",
    "Pipeline": "pgpipe.pipeline",
    "SearchIndexer": "pgpipe.components",
    "search": "pgpipe.api",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whichever of the public names is asked for
    """Import a public name on first use, so that `pgpipe --help` waits for none of what they need."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


# `pgpipe.search` is the function. The first import of the package of that name binds it here; once only.
import_module("pgpipe.search")
globals().pop("search", None)
