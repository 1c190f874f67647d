"""The database: connections with pinned settings, errors in our words, retries, and the embedded server."""

from pgpipe.db.connect import Connection, Database
from pgpipe.db.errors import translate, translated
from pgpipe.db.retry import retry

__all__ = ["Connection", "Database", "retry", "translate", "translated"]
