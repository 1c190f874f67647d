"""The database: connections with pinned settings, errors in our words, retries, and the embedded server."""

from pgpipe.db.awake import awake
from pgpipe.db.connect import Connection, Database, one
from pgpipe.db.errors import translate, translated
from pgpipe.db.retry import retry

__all__ = ["Connection", "Database", "awake", "one", "retry", "translate", "translated"]
