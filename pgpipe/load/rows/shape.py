"""Columns that are left out, renamed or hashed, as the settings of an entity say: of the schema, and of the rows."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pgpipe.errors import DataError, UsageError
from pgpipe.load.plan.files import with_path
from pgpipe.load.plan.parts import Part, Shape
from pgpipe.load.rows.hashed import hashed, may_be_hashed
from pgpipe.settings.entity import EntitySettings
from pgpipe.source.layout import EntityFiles

ALIKE = 0.6  # of a name that may be another spelling of one that is missing


def configured(parts: Iterable[Part], files: EntityFiles, settings: EntitySettings) -> list[Part]:
    """The files as the settings have them: with the columns of folders, and without, renamed or hashed.

    Raises:
        DataError: two columns would have one name, or a column cannot be hashed.
    """
    plain = [with_path(p, files, partitions=settings.partitions, path_column=settings.path_column) for p in parts]
    if not (settings.exclude or settings.rename or settings.hash):
        return plain
    shaped: list[Part] = []
    before: Part | None = None
    for part in plain:
        if before and part.schema is before.schema and not part.constants:
            shaped.append(replace(part, schema=shaped[-1].schema, shape=shaped[-1].shape, before=shaped[-1].before))
        else:
            shaped.append(_shaped(part, settings, files.entity))
        before = part
    return shaped


def _shaped(part: Part, settings: EntitySettings, entity: str) -> Part:
    own = len(part.schema) - len(part.constants)
    kept = [n for n, name in enumerate(part.schema.names) if name not in settings.exclude]
    fields = [_field(part, part.schema.field(n), settings, entity, own=n < own) for n in kept]
    names = [field.name for field in fields]
    for number, name in zip(kept, names, strict=True):
        old = part.schema.names[number]
        if names.count(name) > 1 and old != name:
            raise DataError(
                f"{entity}: entity.{entity}.rename: {old!r} becomes {name!r}, which {part.file.uri} has as well;"
                " exclude or rename the other"
            )
    if not any(n < own for n in kept):
        raise DataError(f"{entity}: entity.{entity}.exclude leaves no column of {part.file.uri}")
    secret = settings.hash_key.get_secret_value().encode() if settings.hash_key else b""
    shape = Shape(
        tuple(n for n in kept if n < own),
        tuple(name for n, name in zip(kept, names, strict=True) if n < own),
        frozenset(settings.hash),
        secret,
    )
    left = dict(part.constants)
    constants = [(name, left[part.schema.names[n]]) for n, name in zip(kept, names, strict=True) if n >= own]
    before = tuple(part.schema.names)
    return replace(part, schema=pa.schema(fields), shape=shape, constants=tuple(constants), before=before)


def _field(part: Part, field: "pa.Field[Any]", settings: EntitySettings, entity: str, *, own: bool) -> "pa.Field[Any]":
    name = settings.rename.get(field.name, field.name)
    if name not in settings.hash:
        return field.with_name(name)
    if not own:
        raise DataError(
            f"{entity}: entity.{entity}.hash names {name!r}, which a folder gives: its value also stands in the address"
            f" of {part.file.uri}; hash it at the source"
        )
    if not may_be_hashed(field.type):
        raise DataError(
            f"{entity}: entity.{entity}.hash names {name!r}, which is {field.type} in {part.file.uri}; texts, bytes,"
            " whole numbers, dates and booleans can be hashed"
        )
    return pa.field(name, pa.string())


def check_columns(parts: Sequence[Part], settings: EntitySettings, entity: str) -> list[str]:
    """Whether the settings name columns that are there. Returns what a user should know.

    Args:
        parts: the files as they are configured.
        settings: of the entity.
        entity: its name.

    Raises:
        UsageError: the settings name a column that the files lack, or `hash_key` is missing.
    """
    there = list(dict.fromkeys(name for part in parts for name in part.before))
    for setting, name, what in _unknown(there, settings):
        raise UsageError(f"entity.{entity}.{setting} names {name!r}, which {what}; the files have {', '.join(there)}")
    if settings.hash and not (settings.hash_key and settings.hash_key.get_secret_value()):
        raise UsageError(f"entity.{entity}.hash needs a secret key; set PGPIPE_LOAD__HASH_KEY, or load.hash_key")
    gone = [name for name in settings.exclude if name not in there]
    return [f"excluded, but not in the files: {', '.join(gone)}"] if gone else []


def _unknown(there: Sequence[str], settings: EntitySettings) -> Iterator[tuple[str, str, str]]:
    """Names in the settings that no file has: setting, name, and what is wrong."""
    left = [name for name in there if name not in settings.exclude]
    named = [settings.rename.get(name, name) for name in left]
    for old, new in settings.rename.items():
        if old in settings.exclude:
            yield "rename", old, "exclude leaves out"
        if old not in there and new not in there:  # a source that has the new name already needs no renaming
            yield "rename", old, "no file has"
    for name in settings.hash:
        if name not in named:
            yield "hash", name, "no file has after renaming"
    for name in settings.exclude:  # one that is gone at the source is right; one that is written otherwise is not
        if name not in there and difflib.get_close_matches(name, left, n=1, cutoff=ALIKE):
            yield "exclude", name, "no file has"


def shaped(rows: pa.RecordBatch, shape: Shape) -> pa.RecordBatch:
    """Rows as they were read, with the names of the target, and hashed."""
    columns = [
        hashed(column, shape.secret) if name in shape.hashed else column
        for name, column in zip(shape.names, rows.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, list(shape.names))


def in_files(column: str, settings: EntitySettings) -> list[str]:
    """The names that a column of the target may have in files, if its values may be shown."""
    if column in settings.hash:
        return []
    names = [old for old, new in settings.rename.items() if new == column]
    names += [column] * (column not in settings.rename)
    return [name for name in names if name not in settings.exclude]
