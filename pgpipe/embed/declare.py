"""Declaring the embedding of a target."""

from dataclasses import dataclass

from psycopg.rows import class_row

from pgpipe.choose import Choice
from pgpipe.config import EmbedDeclaration, EntitySettings
from pgpipe.db import Connection

ENABLE = """
    select pgpipe.enable_embedding(format('%%I.%%I', %s::text, %s::text)::regclass, %s, %s, %s, template => %s)
"""
FIND = """
    select columns, template, model from pgpipe.embedding
     where target = to_regclass(format('%%I.%%I', %s::text, %s::text)) order by active desc limit 1
"""


@dataclass(frozen=True)
class Declared:
    """The embedding that a target has."""

    columns: list[str]
    template: str
    model: str

    def serves(self, wanted: EmbedDeclaration, model: str) -> bool:
        """Whether it is what is wanted."""
        template = wanted.template or "\n".join(f"{{{c}}}" for c in wanted.columns)
        return (self.columns, self.template, self.model) == (wanted.columns, template, model)


def plan_embedding(settings: EntitySettings, choices: list[Choice]) -> EmbedDeclaration | None:
    """What is configured, else the columns worth searching; None where embedding is off or nothing is prose."""
    if settings.embed is False:
        return None
    if settings.embed is not None:
        return settings.embed
    columns = [c.column for c in sorted(choices, key=lambda c: c.weight or "") if c.weight]
    return EmbedDeclaration(columns=columns) if columns else None


def find(conn: Connection, schema: str, entity: str) -> Declared | None:
    """The embedding of a target; the active one where it has several."""
    with conn.cursor(row_factory=class_row(Declared)) as cursor:
        return cursor.execute(FIND, (schema, entity)).fetchone()


def enable(conn: Connection, schema: str, entity: str, declaration: EmbedDeclaration, model: str, dims: int) -> None:
    """Declare the embedding and enqueue all rows; a second call with the same declaration changes nothing.

    Raises:
        VectorsMissing: the database has no pgvector.
        DatabaseError: another one is declared, or a column is not there.
    """
    conn.execute(ENABLE, (schema, entity, declaration.columns, model, dims, declaration.template))
