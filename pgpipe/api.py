"""The Python face of search: a question in, typed hits out. The model stays loaded between calls."""

from functools import lru_cache

from pgpipe import errors
from pgpipe.config import EmbeddingSettings, Settings, load_settings
from pgpipe.db import Database
from pgpipe.embed.model import SentenceModel, load_model
from pgpipe.search import query as ask
from pgpipe.search.query import Filter, Hit, SearchMode


def search(
    query: str,
    entity: str | None = None,
    mode: SearchMode | None = "hybrid",
    k: int = 10,
    filter: Filter | None = None,  # noqa: A002 - the word of the SQL function
    *,
    settings: Settings | None = None,
    database: Database | None = None,
) -> list[Hit]:
    """Answer a question from one entity.

    Args:
        query: words or a sentence; "phrases" must occur, -words must not.
        entity: its name; may be left out where there is only one.
        mode: text, vector or hybrid; None takes hybrid where the entity has vectors, else text.
        k: at most so many hits.
        filter: {"column": value | [values] | None | {"gte": low, "lt": high}}, applied before ranking.
        settings: by default those of the configuration file and the environment.
        database: by default the one of the settings.

    Raises:
        UsageError: there is no such entity.
        VectorsMissing: vectors are asked for, but the database has no pgvector or the entity no embedding.
        Unreachable, DatabaseError: from the server.
    """
    settings = settings or load_settings()
    database = database or Database(settings.database)
    with database.connect() as conn:
        target = ask.find_target(conn, entity)
        mode = mode or ("hybrid" if target.model and target.searched else "vector" if target.model else "text")
        if mode == "text":
            return ask.text(conn, target, query, k, filter)
        if target.model is None:
            raise errors.VectorsMissing(f"{target.entity} has no embedding, so it can be searched in mode text only")
        vector = _model(settings.embedding.model_copy(update={"model": target.model})).encode([query])[0].tolist()
        if mode == "vector":
            return ask.vector(conn, target, vector, k, filter)
        return ask.hybrid(conn, target, query, vector, k, filter)


@lru_cache(maxsize=4)
def _model(settings: EmbeddingSettings) -> SentenceModel:
    return load_model(settings)
