"""What updates did to a vector index: measured now and then, so that one that finds less or has grown is rebuilt."""

from datetime import timedelta

from pgpipe.db import Database, translated
from pgpipe.embed.queue import Embedding
from pgpipe.log import get_logger
from pgpipe.settings.model import IndexSettings

DUE = "select pgpipe_internal.is_measure_due(%s, %s)"
MEASURE = "select pgpipe_internal.measure_index(%s)"
MEASURED = "select recall, dead from pgpipe.index_health where embedding_id = %s"
log = get_logger(__name__)


def measure(database: Database, embedding: Embedding, settings: IndexSettings) -> bool:
    """Measure the index of a store, if that is due; what was found is kept in pgpipe.index_health.

    Args:
        database: one connection is made.
        embedding: whose index. Its first measurement after a build is what later ones are compared with.
        settings: how often, and when.

    Returns:
        Whether it was measured.

    Raises:
        Unreachable, DatabaseError: it could not be.
    """
    if settings.kind == "none" or not settings.check_every or not settings.open_now():
        return False
    every = timedelta(seconds=settings.check_every)
    with database.connect(autocommit=True) as conn, translated():
        if conn.execute(DUE, (embedding.embedding_id, every)).fetchone() != (True,):
            return False
        if conn.execute(MEASURE, (embedding.embedding_id,)).fetchone() != (True,):
            return False
        found = conn.execute(MEASURED, (embedding.embedding_id,)).fetchone() or (None, None)
    log.info("vector index measured", entity=embedding.entity, recall=found[0], dead=found[1])
    return True
