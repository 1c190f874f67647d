"""Columns that the search or the embedding of an entity names, and that no table will have."""

from collections.abc import Collection, Iterator

from pgpipe.db import Connection, translated
from pgpipe.errors import DataError
from pgpipe.load.plan.outline import Plan
from pgpipe.settings.entity import EmbedDeclaration, EntitySettings, SearchDeclaration

COLUMNS = """
    select attname::text from pg_catalog.pg_attribute
     where attrelid = %s and attnum > 0 and not attisdropped order by attnum
"""


def require_declared(conn: Connection, plan: Plan, settings: EntitySettings, skip: Collection[str]) -> None:
    """Refuse what the steps after the import would refuse.

    Args:
        conn: to read on.
        plan: of the import.
        settings: of the entity.
        skip: components that are left out.

    Raises:
        DataError: neither the files nor the target have a column that is named; the message names it.
    """
    there = [column.name for column in plan.columns]
    if plan.target is not None:
        with translated():
            there = [name for (name,) in conn.execute(COLUMNS, (plan.target.oid,))] + there
    elif plan.action == "nothing":
        return
    for step, name in _named(settings, skip):
        if name not in there:
            table = f" nor {plan.target.qualified}" if plan.target else ""
            raise DataError(
                f"{plan.files.entity}: {step} names the column {name!r}, which {'neither ' if table else ''}the files"
                f"{table} {'have' if table else 'do not have'}; they have {', '.join(dict.fromkeys(there))}"
            )


def _named(settings: EntitySettings, skip: Collection[str]) -> Iterator[tuple[str, str]]:
    search, embed = settings.search, settings.embed
    if isinstance(search, SearchDeclaration) and "search" not in skip:
        language = [search.language_column] if search.language_column else []
        yield from (("search", name) for name in [*search.columns, *language])
    if isinstance(embed, EmbedDeclaration) and "embed" not in skip:
        yield from (("embed", name) for name in [*embed.columns, *embed.filters])
