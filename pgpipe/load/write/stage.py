"""Staging: the rows of all files in a table of their own, next to the target that they will be brought into."""

from dataclasses import dataclass

from pgpipe.db import translated
from pgpipe.load.plan.changes import numbered
from pgpipe.load.plan.outline import Plan
from pgpipe.load.plan.parts import Column
from pgpipe.load.write import copy
from pgpipe.load.write.run import Lesson, Run, create_staging
from pgpipe.target import Target

CHANGES = (*(Column(name, "bigint") for name in copy.TRACE), Column("pgpipe_deleted", "boolean"))


@dataclass(frozen=True)
class Staged:
    """The rows of a load in their staging table."""

    table: Target
    rows: int


def stage(run: Run, lesson: Lesson) -> Staged:
    """Copy all files into a staging table."""
    columns, traced = layout(run.plan)
    with translated():
        table = create_staging(run.conn, run, columns, unlogged=True)
    return Staged(table, copy.copy_parallel(run, table, lesson, traced))


def layout(plan: Plan) -> tuple[tuple[Column, ...], dict[tuple[str, int], int] | None]:
    """The columns of the staging table; of change files also the numbers of their row groups, staged with each row."""
    if plan.changes is None:
        return plan.columns, None
    return plan.columns + CHANGES, {group.place: number for number, group in enumerate(numbered(plan.parts))}
