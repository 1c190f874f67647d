"""Linked entities of a date: those between whose targets a foreign key leads. Their import is one."""

from collections.abc import Sequence

from pgpipe.db import Connection, one, translated
from pgpipe.errors import PgpipeError
from pgpipe.load.plan.links import Link, because, in_order, linked_groups, read_links
from pgpipe.pipeline.context import Context
from pgpipe.pipeline.group import Group
from pgpipe.source.layout import EntityFiles
from pgpipe.target import at

OURS = "select pgpipe_internal.has_ledger(%s::oid::regclass)"


def find_groups(conn: Connection, context: Context, listed: Sequence[EntityFiles]) -> list[Group]:
    """The entities that are loaded together. One that is not loaded at all binds none."""
    links = _links(conn, context, [files.entity for files in listed])
    return [Group([files for files in listed if files.entity in names]) for names in linked_groups(links)]


def plan_groups(
    conn: Connection, context: Context, listed: Sequence[EntityFiles], busy: set[str], refused: set[str]
) -> dict[str, str]:
    """Why entities of a date will not be loaded because of others that they are linked to.

    Args:
        conn: to read on.
        context: of the plan.
        listed: the entities of the date.
        busy: those that a load would write.
        refused: those that a load would refuse.
    """
    links, found = _links(conn, context, [files.entity for files in listed]), dict[str, str]()
    for names in linked_groups(links):
        failed = min(names & refused, default=None)
        if failed is not None:
            found |= {name: because(failed, names) for name in names - refused}
            continue
        try:
            in_order(sorted(names & busy), links)
        except PgpipeError as exc:
            found |= dict.fromkeys(names, str(exc))
    return found


def bound_together(conn: Connection, context: Context, entities: Sequence[str]) -> list[set[str]]:
    """Names of entities that are loaded together."""
    return linked_groups(_links(conn, context, entities))


def _links(conn: Connection, context: Context, entities: Sequence[str]) -> list[Link]:
    schema = context.database.schema
    links = read_links(conn, schema, [name for name in entities if _is_imported(context, name)])
    named = {name for link in links for name in (link.child, link.parent)}
    loaded = {name for name in named if context.consent(name).named or _is_ours(conn, schema, name)}
    return [link for link in links if {link.child, link.parent} <= loaded]


def _is_imported(context: Context, entity: str) -> bool:
    return "import" not in context.skip | set(context.entity(entity).skip)


def _is_ours(conn: Connection, schema: str, name: str) -> bool:
    target = at(conn, schema, name)
    with translated():
        return target is not None and bool(one(conn, OURS, (target.oid,)))
