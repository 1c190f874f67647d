"""Declaring the embedding of a target."""

from dataclasses import dataclass
from typing import Literal

from psycopg.rows import class_row

from pgpipe.choose import Choice
from pgpipe.db import Connection, translated
from pgpipe.settings.entity import EmbedDeclaration, EmbedIndex, EntitySettings
from pgpipe.target import Target

ENABLE = """
    select pgpipe.enable_embedding(%s::oid::regclass, %s, %s, %s, template => %s, name => %s, condition => %s,
                                   chunk_size => %s, chunk_overlap => %s, enqueue => %s, store_precision => %s)
"""
PRECISION = "select pgpipe.set_index_precision(%s::oid::regclass, %s, %s)"
FILTERS = "select pgpipe.enable_filters(%s::oid::regclass, %s, %s)"
FIND = """
    select name, columns, template, condition, chunk_size, chunk_overlap, model, filters, store_precision,
           index_precision from pgpipe.embedding
     where target = %s::oid and (%s::text is null and active or name = %s)
"""
DISABLE = "select pgpipe.disable_embedding(%s::oid::regclass, %s)"
SWITCH = "select pgpipe.switch_embedding(%s::oid::regclass, %s, %s)"
PAUSE = "select pgpipe.pause_embedding(%s::oid::regclass, %s)"
RESUME = "select pgpipe.resume_embedding(%s::oid::regclass, %s)"
REQUIRE = "select pgpipe_internal.require_embedding(%s::oid::regclass, %s)"


@dataclass(frozen=True)
class Declared:
    """The embedding that a target has."""

    name: str
    columns: list[str]
    template: str
    condition: str | None
    chunk_size: int | None
    chunk_overlap: int
    model: str
    filters: list[str]
    store_precision: Literal["half", "full"]
    index_precision: Literal["half", "bit", "full"]

    def serves(self, wanted: EmbedDeclaration, model: str) -> bool:
        """Whether it is surely what is wanted; a condition may be written in many ways, which the server compares."""
        template = wanted.template or "\n".join(map(_brace, wanted.columns))
        stored = wanted.store_precision or self.store_precision
        mine = (self.columns, self.template, self.chunk_size, self.chunk_overlap, self.model, self.store_precision)
        theirs = (wanted.columns, template, wanted.chunk_size, wanted.chunk_overlap, model, stored)
        return mine == theirs and self.condition is None and wanted.where is None

    def as_declaration(self) -> EmbedDeclaration:
        """The same, to be declared again for another model."""
        return EmbedDeclaration(
            columns=self.columns,
            template=self.template,
            where=self.condition,
            chunk_size=self.chunk_size,
            chunk_overlap=self.chunk_overlap,
            filters=self.filters,
            store_precision=self.store_precision,
            index=EmbedIndex(precision=self.index_precision),
        )


def plan_embedding(settings: EntitySettings, choices: list[Choice]) -> EmbedDeclaration | None:
    """What is configured, else the columns worth searching; None where embedding is off or nothing is prose."""
    if settings.embed is False:
        return None
    if settings.embed is not None:
        return settings.embed
    columns = [c.column for c in sorted(choices, key=lambda c: c.weight or "") if c.weight]
    return EmbedDeclaration(columns=columns) if columns else None


def find(conn: Connection, target: Target, name: str | None = None) -> Declared | None:
    """The embedding of that name of a target; the active one where none is named."""
    with conn.cursor(row_factory=class_row(Declared)) as cursor:
        return cursor.execute(FIND, (target.oid, name, name)).fetchone()


def enable(
    conn: Connection,
    target: Target,
    declaration: EmbedDeclaration,
    model: str,
    dims: int,
    name: str = "default",
    *,
    enqueue: bool = True,
) -> None:
    """Declare the embedding and enqueue all rows; a second call with the same declaration changes nothing.

    Raises:
        VectorsMissing: the database has no pgvector.
        DatabaseError: another one is declared under this name, or a column or the condition is not right.
    """
    d = declaration
    parts = (
        d.columns,
        model,
        dims,
        d.template,
        name,
        d.where,
        d.chunk_size,
        d.chunk_overlap,
        enqueue,
        d.store_precision,
    )
    with translated():
        conn.execute(ENABLE, (target.oid, *parts))
    keep(conn, target, declaration, name)


def keep(conn: Connection, target: Target, declaration: EmbedDeclaration, name: str) -> None:
    """Set what may change while vectors are served: the filters, and the precision of the index.

    Raises:
        DatabaseError: as keep_filters.
    """
    if declaration.index.precision:
        with translated():
            conn.execute(PRECISION, (target.oid, declaration.index.precision, name))
    keep_filters(conn, target, declaration, name)


def keep_filters(conn: Connection, target: Target, declaration: EmbedDeclaration, name: str) -> None:
    """Keep the columns that searches are filtered by beside the vectors; where none is named, all stays as it is.

    Raises:
        DatabaseError: the target lacks such a column, or its type has many values in a row.
    """
    if declaration.filters:
        with translated():
            conn.execute(FILTERS, (target.oid, declaration.filters, name))


def _brace(column: str) -> str:
    return "{" + column.replace("{", "{{").replace("}", "}}") + "}"
