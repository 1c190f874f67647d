"""Links: foreign keys between targets. Which entities they bind together, and in which order these are written."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter

from pgpipe.db import Connection, translated
from pgpipe.errors import DataError

LINKS = "select child, parent, constraint_name, is_deferrable from pgpipe_internal.links(%s, %s)"


@dataclass(frozen=True)
class Link:
    """A foreign key."""

    child: str
    parent: str
    name: str
    deferrable: bool


def read_links(conn: Connection, schema: str, entities: Sequence[str]) -> list[Link]:
    """The foreign keys between the targets of these entities."""
    with translated():
        return [Link(*row) for row in conn.execute(LINKS, (schema, list(entities)))]


def linked_groups(links: Iterable[Link]) -> list[set[str]]:
    """The entities that belong together, directly or through others."""
    groups: list[set[str]] = []
    for link in links:
        joined = {link.child, link.parent}
        apart = []
        for group in groups:
            if group & joined:
                joined |= group
            else:
                apart.append(group)
        groups = [*apart, joined]
    return groups


def in_order(entities: Iterable[str], links: Sequence[Link]) -> list[str]:
    """The entities, those that others refer to first. A deferrable foreign key is checked at the end, whatever order.

    Raises:
        DataError: they refer to each other in a circle.
    """
    wanted = list(entities)
    strict = [link for link in links if not link.deferrable and {link.child, link.parent} <= set(wanted)]
    sorter = TopologicalSorter({name: {link.parent for link in strict if link.child == name} for name in wanted})
    try:
        return list(sorter.static_order())
    except CycleError as exc:
        circle = set(exc.args[1])
        link = next(link for link in strict if {link.child, link.parent} <= circle)
        raise DataError(
            f"the tables {', '.join(sorted(circle))} refer to each other in a circle of foreign keys, so none can be"
            f' written first; make one deferrable: alter table "{link.child}" alter constraint "{link.name}" deferrable'
        ) from exc


def because(failed: str, group: Iterable[str]) -> str:
    """Why an entity is not loaded, if another one that it is linked to failed."""
    names = ", ".join(sorted(group))
    return f"not loaded, because {failed} failed: foreign keys link {names}, so they are loaded in one transaction"
