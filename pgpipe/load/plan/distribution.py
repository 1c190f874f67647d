"""Distributed targets: whether an entity's rows are spread over servers, and what does not work if they are. Pure."""

from pgpipe.errors import UsageError
from pgpipe.load.plan.facts import Facts
from pgpipe.load.plan.parts import Evolution
from pgpipe.settings.entity import EntitySettings, Mode


def distribution_of(
    entity: str, settings: EntitySettings, mode: Mode, key: tuple[str, ...], facts: Facts
) -> str | None:
    """The column by which the rows are spread: what the catalogue says of a table, the settings of one to be made.

    Raises:
        UsageError: the rows cannot be spread by it, or something that is wanted does not work then.
    """
    column = facts.distributed_by if facts.table else settings.distribute
    if column is None:
        return None
    if not key:
        raise UsageError(
            f"{entity}: a distributed table needs a key: write key = [{column!r}, …], or leave distribute out"
        )
    if column not in key:
        raise UsageError(
            f"{entity}: distribute names {column!r}, which is not a column of the key ({', '.join(key)}): the rows of a"
            " key must lie on one server"
        )
    unfit = {
        "history": settings.history,
        "soft_delete": settings.soft_delete,
        "order and delete of change files": settings.order or settings.delete,
        "embed.filters": settings.embed and settings.embed.filters,
    }
    for name, wanted in unfit.items():
        if wanted:
            raise UsageError(f"{entity}: {name} does not work on a distributed table: leave it or distribute out")
    if facts.soft_delete and mode != "append":
        raise UsageError(f"{entity}: soft_delete does not work on a distributed table: write soft_delete = false")
    return column


def not_distributed(facts: Facts, settings: EntitySettings) -> tuple[str, ...]:
    """What is said of a table that was made before somebody wrote `distribute`."""
    if settings.distribute and facts.table and not facts.distributed_by:
        return ("the table is not distributed: `distribute` counts when pgpipe makes it",)
    return ()


def require_same_key(entity: str, distributed_by: str | None, key: tuple[str, ...], evolution: Evolution) -> None:
    """Refuse another type of a key's column.

    Raises:
        UsageError: it would be widened, which the tables that lie with it do not follow.
    """
    for column in evolution.widen if distributed_by else ():
        if column.name in key:
            raise UsageError(
                f"{entity}: the files need {column.name!r} as {column.sql}, and the key of a distributed table keeps"
                f" its types: write types = {{ {column.name} = … }} with the type that it has, or make the table again"
            )
