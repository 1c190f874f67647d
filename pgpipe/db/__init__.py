"""The database: connections with pinned settings, errors in our words, retries, and the embedded server."""

from pgpipe.db.connect import Connection, Database, one
from pgpipe.db.errors import translate, translated
from pgpipe.db.idle import awake
from pgpipe.db.locks import PATIENCE, Patience, briefly
from pgpipe.db.retry import retry

__all__ = [
    "PATIENCE",
    "Connection",
    "Database",
    "Patience",
    "awake",
    "briefly",
    "one",
    "retry",
    "translate",
    "translated",
]
