"""How large rows can become, judged before they are decoded: from a footer and the longest value of each dictionary.

The size of a file says little: a dictionary holds once what every row has, and a million equal values are one run.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import pyarrow.types as at

from pgpipe.load import types
from pgpipe.load.rows.kernels import Array, pc, types_removed

EACH = 16 << 20  # bytes that rows read at once may have by what each of them can have
LUMPS = 32 << 20  # and by what only the row group's size limits
FEW = 256  # columns of which fewer rows make EACH are read a few rows at a time
DECODED_WIDTH = 8  # bytes of a value whose Arrow type has no width
PLAIN = {"PLAIN", "RLE", "BIT_PACKED", "RLE_DICTIONARY", "PLAIN_DICTIONARY", "DELTA_LENGTH_BYTE_ARRAY"}
Leaf = tuple[int, pa.DataType]  # number and type of a column of Parquet


@dataclass(frozen=True)
class Extent:
    """The most that rows of a column can take: `rows * each + lump` bytes."""

    each: int
    lump: int


def leaf_types(kind: pa.DataType) -> Iterator[pa.DataType]:
    """Of the columns of Parquet that an Arrow type is stored in."""
    kind = types.storage(kind)
    if not at.is_nested(kind):
        yield kind
        return
    for number in range(kind.num_fields):
        yield from leaf_types(kind.field(number).type)


def leaves(schema: pa.Schema) -> list[list[Leaf]]:
    """The columns of Parquet that each column of Arrow is stored in."""
    found: list[list[Leaf]] = []
    number = 0
    for field in schema:
        kinds = list(leaf_types(field.type))
        found.append(list(enumerate(kinds, number)))
        number += len(kinds)
    return found


class Group:
    """A row group, by its footer."""

    def __init__(
        self, parquet: pq.ParquetFile, number: int, source: pa.NativeFile, window: int, owned: list[list[Leaf]]
    ) -> None:
        self._source, self._number, self._window = source, number, window
        self._metadata = parquet.metadata
        self._footer = parquet.metadata.row_group(number)
        self._schema = parquet.schema
        self.leaves = owned  # see `leaves`

    def extents(self, wanted: list[int]) -> dict[int, Extent]:
        """Of each of these columns, by its number."""
        owned = {number: self.leaves[number] for number in wanted}
        unknown = [leaf for of_column in owned.values() for leaf, kind in of_column if self._may_repeat(leaf, kind)]
        longest = self._longest(unknown) if unknown else {}
        return {number: self._extent(of_column, longest) for number, of_column in owned.items()}

    def _extent(self, owned: list[Leaf], longest: dict[int, int]) -> Extent:
        each = lump = 0
        for leaf, kind in owned:
            value = 4 + longest.get(leaf, 0) if _is_bytes(kind) else _width(kind)
            lump += self._size(leaf) if _is_bytes(kind) else 0
            if self._schema.column(leaf).max_repetition_level:
                lump += value * self._footer.column(leaf).num_values
            else:
                each += value
        return Extent(each, lump)

    def _size(self, leaf: int) -> int:
        column = self._footer.column(leaf)
        return max(column.total_uncompressed_size, column.total_compressed_size)

    def _may_repeat(self, leaf: int, kind: pa.DataType) -> bool:
        """Whether values that lie in the file once could fill more than is read at once."""
        return _is_bytes(kind) and self._footer.column(leaf).num_values * self._size(leaf) > EACH

    def _longest(self, unknown: list[int]) -> dict[int, int]:
        """The longest value that can be repeated: of a dictionary; where values share beginnings, any."""
        delta = {leaf for leaf in unknown if not PLAIN.issuperset(self._footer.column(leaf).encodings)}
        found = {leaf: self._size(leaf) for leaf in delta}
        if coded := [leaf for leaf in unknown if leaf not in delta]:
            found |= dict(zip(coded, self._dictionaries(coded), strict=True))
        return found

    def _dictionaries(self, coded: list[int]) -> Iterator[int]:
        paths = [self._schema.column(leaf).path for leaf in coded]
        parquet = pq.ParquetFile(
            self._source,
            metadata=self._metadata,
            read_dictionary=paths,
            buffer_size=self._window,
            pre_buffer=False,
        )
        reader = parquet.reader
        batch = next(reader.iter_batches(1, [self._number], column_indices=coded, use_threads=False), None)
        columns = batch.columns if batch else []
        found = [longest for column in columns for longest in _longest(column)]
        return iter(found if len(found) == len(coded) else [self._size(leaf) for leaf in coded])


@cache
def _is_bytes(kind: pa.DataType) -> bool:
    return types.is_text(kind) or at.is_binary(kind) or at.is_large_binary(kind) or at.is_binary_view(kind)


@cache
def _width(kind: pa.DataType) -> int:
    try:
        return max(kind.bit_width // 8, 1)
    except ValueError:
        return DECODED_WIDTH


def _longest(array: Array) -> Iterator[int]:
    """The longest value of each dictionary within an array, in their order."""
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    kind = array.type
    if at.is_dictionary(kind):
        yield pc.max(pc.binary_length(types_removed(array.dictionary))).as_py() or 0
    elif at.is_struct(kind):
        for number in range(kind.num_fields):
            yield from _longest(array.field(number))
    elif at.is_map(kind):
        yield from _longest(array.keys)
        yield from _longest(array.items)
    elif at.is_nested(kind):
        yield from _longest(array.values if not at.is_fixed_size_list(kind) else array.flatten())


def few_at_a_time(extents: Mapping[int, Extent]) -> list[int]:
    """The columns of which a batch of ordinary size might become too large."""
    found = {number for number, extent in extents.items() if extent.each * FEW > EACH}
    total = 0
    for number, extent in sorted(extents.items(), key=lambda pair: pair[1].lump):
        total += extent.lump
        if total > LUMPS:
            found.add(number)
    return sorted(found)
