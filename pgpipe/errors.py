"""One tree of errors. A class knows its exit code; its message is the one line that a user reads."""


class PgpipeError(Exception):
    """Something a user can act on: what is wrong, where, and what to do."""

    exit_code = 1


class UsageError(PgpipeError):
    """An option or a setting is wrong."""

    exit_code = 2


class Unreachable(PgpipeError):
    """The source or the database does not answer, or does not let us in."""

    exit_code = 3


class SourceError(Unreachable):
    """The source has no such bucket, no date folder, or a file that cannot be read."""


class DatabaseError(PgpipeError):
    """The database refused a statement."""


class DataError(PgpipeError):
    """A file or a value that the target cannot take."""


class SchemaMissing(PgpipeError):
    """The database has no pgpipe schema, or an older one."""

    exit_code = 2


class VectorsMissing(PgpipeError):
    """The database has no pgvector."""

    exit_code = 2


class ModelError(PgpipeError):
    """The embedding model cannot be loaded, or does not fit the store."""

    exit_code = 2
