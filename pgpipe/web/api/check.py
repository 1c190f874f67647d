"""What `pgpipe serve --api` looks at before it listens: errors show then, not at the first request."""

from pgpipe.db import Database, one, translated
from pgpipe.errors import UsageError
from pgpipe.schema.version import require_version

STANDBY = "select pg_catalog.pg_is_in_recovery()"
MAY_NOT_READ = "select not pg_catalog.has_table_privilege('pgpipe.token', 'select')"
HOLDING = """
    select count(*), coalesce(array_agg(distinct token.role::text order by token.role::text)
                              filter (where not pg_catalog.pg_has_role(token.role, 'member')), '{}')
      from pgpipe.token join pg_catalog.pg_roles known on known.rolname = token.role
     where token.revoked_at is null and (token.expires_at > pg_catalog.now()) is not false
"""


def require_ready(tokens: Database, questions: Database) -> int:
    """See whether both databases answer and the login has what it needs; returns how many tokens hold.

    Raises:
        Unreachable, SchemaMissing: of either.
        UsageError: tokens cannot be read or counted there.
    """
    with questions.connect(keep_timeouts=True) as conn:
        require_version(conn)
    with tokens.connect(keep_timeouts=True) as conn, translated():
        require_version(conn)
        if one(conn, STANDBY):
            raise UsageError(
                "requests of tokens cannot be counted on a standby; set serve.tokens_url to the primary server"
            )
        if one(conn, MAY_NOT_READ):
            raise UsageError(
                f"the role {conn.info.user} may not read tokens; log in as pgpipe_api (`pgpipe roles` makes it), by"
                " serve.url or serve.tokens_url"
            )
        count, others = conn.execute(HOLDING).fetchone() or (0, [])
        if others:
            names = ", ".join(others)
            raise UsageError(
                f"the role {conn.info.user} may not act as {names}, as tokens ask; as a superuser:"
                f" grant {names} to {conn.info.user}"
            )
    return int(count)
