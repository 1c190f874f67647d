"""Staging: the rows of all files in a table of their own, next to the target that they will be brought into."""

from dataclasses import dataclass

from pgpipe.db import translated
from pgpipe.load.write import copy
from pgpipe.load.write.run import Lesson, Run, create_staging
from pgpipe.target import Target


@dataclass(frozen=True)
class Staged:
    """The rows of a load in their staging table."""

    table: Target
    rows: int


def stage(run: Run, lesson: Lesson) -> Staged:
    """Copy all files into a staging table."""
    with translated():
        table = create_staging(run.conn, run, run.plan.columns, unlogged=True)
    return Staged(table, copy.copy_parallel(run, table, lesson))
