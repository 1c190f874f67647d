"""A sample of the rows of an entity's files."""

import pyarrow as pa

from pgpipe.choose import SAMPLE_ROWS
from pgpipe.load.plan.files import read_footer
from pgpipe.load.plan.parts import RowGroup
from pgpipe.load.rows.read import read_batches
from pgpipe.load.rows.shape import configured
from pgpipe.settings.entity import EntitySettings
from pgpipe.source import Source
from pgpipe.source.layout import EntityFiles


def sample(source: Source, files: EntityFiles, settings: EntitySettings) -> pa.Table:
    """Rows of the first file that has any."""
    for file in files.files:
        (part,) = configured([read_footer(source, file)], files, settings)
        if part.rows and part.rows[0]:
            batch = next(read_batches(source, RowGroup(part, 0)))
            return pa.Table.from_batches([batch.slice(0, SAMPLE_ROWS)])
    return pa.table({})
