"""The schema in the database: its version, the files that it is made of, and `migrate`, which brings it up to date."""

from pgpipe.schema.files import ROOT, sql_files
from pgpipe.schema.upgrade import Migrated, migrate
from pgpipe.schema.version import VERSION, is_migrated, require_version

__all__ = ["ROOT", "VERSION", "Migrated", "is_migrated", "migrate", "require_version", "sql_files"]
