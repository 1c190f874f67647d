"""How often the dates of entities come, and when the newest one of each did."""

from dataclasses import dataclass
from datetime import timedelta

from pgpipe.db import Connection, translated

NEWEST = """
    select l.schema, l.entity, l.date::text, now() - min(l.finished_at), pgpipe_internal.load_rhythm(l.schema, l.entity)
      from pgpipe.load_history l
     where l.state = 'done'
       and l.date = (select max(o.date) from pgpipe.load_history o
                      where (o.schema, o.entity, o.state) = (l.schema, l.entity, 'done'))
     group by l.schema, l.entity, l.date order by l.entity, l.schema
"""
SLACK = timedelta(hours=12)  # a date may come so much earlier than usual


@dataclass(frozen=True)
class Newest:
    """The newest date of an entity that was loaded."""

    schema: str
    entity: str
    date: str
    age: timedelta  # since it was loaded first
    usual: timedelta | None  # the median gap between dates; None: too few are known


def read_newest(conn: Connection) -> list[Newest]:
    """The newest date of each entity that was loaded."""
    with translated():
        return [Newest(*row) for row in conn.execute(NEWEST)]


def is_next_due(age: timedelta, every: timedelta | None) -> bool:
    """Whether the next date may come any time now."""
    return every is not None and age >= max(every / 2, every - SLACK)
