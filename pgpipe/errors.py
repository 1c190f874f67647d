"""One tree of errors. A class knows its exit code; its message is the one line that a user reads."""

from pgpipe.secret import mask


class PgpipeError(Exception):
    """Something a user can act on: what is wrong, where, and what to do."""

    exit_code = 1
    entity: str | None = None  # the one of several that failed
    transient = False  # whether a later try may well succeed: a lost connection, a deadlock, a busy server
    sqlstate: str | None = None  # of the database's error that it was translated from

    def __init__(self, message: str = "") -> None:
        super().__init__(mask(message))  # here, because it is printed, logged, reported and stored in many places


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


class InternalError(PgpipeError):
    """A step of pgpipe failed, and neither the database nor a model or a source is known to be at fault."""


class RowsHidden(DatabaseError):
    """Row level security hides rows of an embedding's target from the worker: to it they would be deleted."""

    exit_code = 2


class Conflict(DatabaseError):
    """A deadlock or a serialization failure: the transaction is as if it had not been, and may be tried again."""


class DataError(PgpipeError):
    """A file or a value that the target cannot take."""


class GateFailed(DataError):
    """A load that a gate of the configuration does not let pass; nothing was changed."""


class SchemaMissing(PgpipeError):
    """The database has no pgpipe schema, or an older one."""

    exit_code = 2


class BadValue(DataError):
    """A value that its column cannot hold. The message is the reason, without the value: it may stand in a log."""


class VectorsMissing(PgpipeError):
    """The database has no pgvector."""

    exit_code = 2


class ModelError(PgpipeError):
    """The embedding model cannot be loaded, or does not fit the store."""

    exit_code = 2


class ModelRefused(ModelError):
    """This machine does not run the model of an embedding; other embeddings are served."""


class OtherModel(ModelRefused):
    """A model has the name of the one that made a store's vectors, but other weights or prompts."""


class EncodeError(PgpipeError):
    """What `encode` and `split` of a model backend raise; any other exception is judged as Permanent."""


class Transient(EncodeError):
    """The backend cannot answer now, whatever the texts: throttled, unreachable, restarting. Nobody is charged.

    Attributes:
        retry_after: seconds that the backend asks to be left alone; None where it does not say.
    """

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Permanent(EncodeError):
    """At least one of the texts is not acceptable and never will be: the batch is halved until it stands alone."""


class TooLarge(EncodeError):
    """The batch is too large for the backend (memory, a limit on requests): it is halved, and no row is charged."""


class Undelivered(Exception):
    """A notice did not arrive."""

    def __init__(self, why: str, *, again: bool = False) -> None:
        super().__init__(why)
        self.again = again  # whether a later try may well succeed
