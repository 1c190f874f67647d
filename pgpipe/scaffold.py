"""Scaffold: the migration that makes an entity's target, written for review from what the Parquet footers say."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

from psycopg import sql

from pgpipe.db import one, translated
from pgpipe.embed.declare import plan_embedding
from pgpipe.embed.model.base import dimensions
from pgpipe.errors import UsageError
from pgpipe.load.loader import Loader
from pgpipe.load.plan.outline import Plan
from pgpipe.load.write.run import STAGING
from pgpipe.pipeline.context import Context, require_schema
from pgpipe.searching.declare import plan_search
from pgpipe.settings.entity import EmbedDeclaration, SearchDeclaration
from pgpipe.source.layout import EntityFiles

STAGING_NAME = "select pgpipe_internal.staging_name(%s, %s)"
NUMBER = re.compile(r"(\d+)")
HEAD = """\
-- {entity}: made by `pgpipe scaffold` from {files} files of {date}. Review it, then `pgpipe migrate` and `load`.

create table {target} (
{columns}
);
"""
LEDGER = """
-- From here on the table is pgpipe's to load: the ledger of its files belongs to it.
select pgpipe.keep_ledger({target}, {entity});
"""
STAGE = """
-- What a load copies files into before it merges them; each load makes a new one.
create unlogged table {stage} (like {target});
"""
SEARCH = """
-- A generated tsvector and its GIN index; A weighs most.
select pgpipe.enable_search({target}, {weights}, {language}, {name}, language_column => {language_column});
"""
EMBEDDING = """
-- The store {store}, and the triggers that ask for vectors of rows whose text changed.
select pgpipe.enable_embedding({target}, {columns}, {model}, {dims}, template => {template});
"""


def scaffold(context: Context, files: EntityFiles) -> str:
    """The migration of an entity: its target, its staging table, its search column and its embedding.

    Raises:
        UsageError: the target is there already.
        DataError: the files cannot be loaded as they are; the message says which and why.
        SchemaMissing: `pgpipe migrate` has not run.
    """
    settings, schema = context.entity(files.entity), context.database.schema
    with context.database.connect(autocommit=True) as conn:
        require_schema(conn, schema)
        plan = Loader(context.database, context.source, context.settings.load.jobs).plan(conn, files, settings)
        with translated():
            stage = one(conn, STAGING_NAME, (schema, files.entity))
    if plan.action != "create":
        raise UsageError(f"{schema}.{files.entity} is there already; a scaffold is for a table that is not")
    parts = [_tables(files, plan, schema, stage)]
    choices = context.choices(files)
    if "search" not in context.skip and (search := plan_search(settings, choices).declaration):
        parts.append(_search(files, search, schema))
    if "embed" not in context.skip and (embed := plan_embedding(settings, choices)):
        parts.append(_embedding(context, files, embed))
    return "".join(parts)


def next_file(folder: Path, entity: str) -> Path:
    """Where the migration goes: after those that are there."""
    taken = [int(found[1]) for file in folder.glob("*.sql") if (found := NUMBER.match(file.name))]
    return folder / f"{max(taken, default=0) + 1:04}_{re.sub(r'[^A-Za-z0-9]+', '_', entity).strip('_') or 'entity'}.sql"


def _tables(files: EntityFiles, plan: Plan, schema: str, stage: str) -> str:
    target = _name(schema, files.entity)
    head = HEAD.format(
        entity=_comment(files.entity),
        files=len(files.files),
        date=files.date,
        columns=",\n".join(f"    {line}" for line in _columns(plan)),
        target=target,
    )
    head += LEDGER.format(target=_text(target), entity=_text(files.entity))
    if plan.mode == "append":  # which copies straight into the target
        return head
    return head + STAGE.format(stage=_name(STAGING, stage), target=target)


def _columns(plan: Plan) -> Iterator[str]:
    for column in plan.columns:
        yield f"{_name(column.name)} {column.sql}{' not null' if column.required else ''}"
    if plan.key:
        yield f"primary key ({', '.join(map(_name, plan.key))})"
    else:
        yield "pgpipe_row bigint generated always as identity primary key"


def _search(files: EntityFiles, declared: SearchDeclaration, schema: str) -> str:
    return SEARCH.format(
        target=_text(_name(schema, files.entity)),
        weights=_text(json.dumps(declared.columns, ensure_ascii=False)),
        language=_text(declared.language),
        name=_text(declared.column_name),
        language_column=_text(declared.language_column),
    )


def _embedding(context: Context, files: EntityFiles, declared: EmbedDeclaration) -> str:
    settings = context.settings.embedding
    return EMBEDDING.format(
        store=_comment(f"{files.entity}_embedding"),
        target=_text(_name(context.database.schema, files.entity)),
        columns=f"array[{', '.join(map(_text, declared.columns))}]::name[]",
        model=_text(settings.model),
        dims=dimensions(settings),
        template=_text(declared.template),
    )


def _name(*parts: str) -> str:
    return sql.Identifier(*parts).as_string()


def _text(value: str | None) -> str:
    return sql.Literal(value).as_string()


def _comment(text: str) -> str:
    """Text that stays within its comment."""
    return " ".join(text.split())
