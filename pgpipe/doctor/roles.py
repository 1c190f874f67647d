"""The role `pgpipe_queue`, examined: its functions run with its rights, so nobody else may act as it."""

from collections.abc import Iterator

from pgpipe.db import Connection
from pgpipe.doctor.finding import Finding, failure, warning

# Members that neither own something of pgpipe or this database, nor are superusers anyway.
QUEUE_ROLE = """
    select role.rolcanlogin or role.rolsuper,
           array(select member.rolname::text
                   from pg_catalog.pg_auth_members membership
                   join pg_catalog.pg_roles member on member.oid = membership.member
                  where membership.roleid = role.oid and not member.rolsuper
                    and member.oid not in (
                        select schema.nspowner from pg_catalog.pg_namespace schema where schema.nspname = 'pgpipe'
                        union all
                        select base.datdba from pg_catalog.pg_database base where base.datname = current_database())
                  order by 1)
      from pg_catalog.pg_roles role where role.rolname = 'pgpipe_queue'
"""


def examine_queue_role(conn: Connection) -> Iterator[Finding]:
    """Whether other roles may act as `pgpipe_queue`. A role that creates it first is made its member."""
    found = conn.execute(QUEUE_ROLE).fetchone()
    if found is None:
        return
    open_, members = found
    if open_:
        yield failure(
            "pgpipe_queue",
            "the role pgpipe_queue may log in or is a superuser, so functions run with more rights than they need",
            "alter role pgpipe_queue nologin nosuperuser",
        )
    for member in members:
        yield warning(
            "pgpipe_queue",
            f"the role {member} is a member of pgpipe_queue, so it may write the queue of every embedding",
            f"unless it migrates another database of this cluster: revoke pgpipe_queue from {member}",
        )
