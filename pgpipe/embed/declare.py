"""Declaring the embedding of a target."""

from pgpipe.choose import Choice
from pgpipe.config import EmbedDeclaration, EntitySettings
from pgpipe.db import Connection

ENABLE = """
    select pgpipe.enable_embedding(format('%%I.%%I', %s::text, %s::text)::regclass, %s, %s, %s, template => %s)
"""
DECLARED = "select true from pgpipe.embedding where target = to_regclass(format('%%I.%%I', %s::text, %s::text))"


def plan_embedding(settings: EntitySettings, choices: list[Choice]) -> EmbedDeclaration | None:
    """What is configured, else the columns that are worth searching; None where embedding is off or nothing is prose."""
    if settings.embed is False:
        return None
    if settings.embed is not None:
        return settings.embed
    columns = [c.column for c in sorted(choices, key=lambda c: c.weight or "") if c.weight]
    return EmbedDeclaration(columns=columns) if columns else None


def is_declared(conn: Connection, schema: str, entity: str) -> bool:
    """Whether the target has an embedding."""
    return conn.execute(DECLARED, (schema, entity)).fetchone() is not None


def enable(conn: Connection, schema: str, entity: str, declaration: EmbedDeclaration, model: str, dims: int) -> None:
    """Declare the embedding and enqueue all rows; a second call with the same declaration changes nothing.

    Raises:
        VectorsMissing: the database has no pgvector.
        DatabaseError: another one is declared, or a column is not there.
    """
    conn.execute(ENABLE, (schema, entity, declaration.columns, model, dims, declaration.template))
