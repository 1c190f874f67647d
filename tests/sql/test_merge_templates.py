"""The statements of a merge: what their templates become for one table, with names that need quotes."""

import json
import os
from pathlib import Path

from pgpipe import schema
from pgpipe.db import Database
from tests.sql.support import value

GOLDEN = Path(__file__).with_name("golden")
TEMPLATES = sorted(file.stem for file in (schema.ROOT / "sql" / "templates").glob("merge_*.sql"))
SAMPLE = """
    create table item (shop int, "Item no" text, title text, price numeric, primary key (shop, "Item no"),
                       check (price > 0));
    create table pgpipe_staging.item (shop int, "Item no" text, title text, price numeric,
                                      pgpipe_part bigint, pgpipe_number bigint);
    create rule logged as on delete to item do also select 1;
    insert into item values (1, 'a', 'one', 1), (1, 'b', 'two', 2);
    insert into pgpipe_staging.item values (1, 'b', 'deux', 2.0, 0, 0), (1, 'c', 'trois', 3, 0, 1)
"""
SHOW = """
    create schema plain; alter function pgpipe_internal.render(text, jsonb) set schema plain;
    create function pgpipe_internal.render(template text, parts jsonb) returns text language plpgsql as $$
    declare
        made text := plain.render(template, parts);
    begin
        raise notice '%', json_build_object(template, made);
        return made;
    end
    $$
"""
MERGE = """
    select pgpipe_internal.find_violations('item', 'pgpipe_staging.item', '{shop,"Item no",title}', '{shop,"Item no"}');
    select pgpipe_internal.merge('item', 'pgpipe_staging.item', '{shop,"Item no",title,price}', '{shop,"Item no"}',
                                 'snapshot', '[]', '{}');
    select pgpipe_internal.check_statement('item', 'pgpipe_staging.item', '{shop,"Item no",title}',
                                           '{shop,"Item no"}', known.sql)
      from (values ('price >= 0 -- or free'), ('select shop from staged group by shop')) known (sql);
    select pgpipe_internal.sample_difference('item', 'pgpipe_staging.item', '{shop,"Item no",title,price}',
                                             '{shop,"Item no"}', 'update', 3);
    truncate item;
    select pgpipe_internal.append_staged('item', 'pgpipe_staging.item', '{shop,"Item no",title,price}');
    alter table pgpipe_staging.item add column color text;
    select pgpipe_internal.add_columns('item', 'pgpipe_staging.item', '[{"name": "color", "type": "text"}]',
                                       '{shop,"Item no"}', 'snapshot');
    alter table item add unique (title);
    create table pgpipe_staging.difference as select 1 as key_1, 'b' as key_2, 'update' as change;
    select pgpipe_internal.vacate('item', 'pgpipe_staging.item', 'pgpipe_staging.difference', '{title,price}',
                                  '{shop,"Item no"}', 'public', 'null', '{update}')
"""


def test_golden_files(database: Database) -> None:
    """What the templates become is what tests/sql/golden/ shows; `make golden` writes it."""
    rendered: dict[str, str] = {}
    with database.connect(autocommit=True) as conn:
        conn.execute(SAMPLE.encode())
        stage = value(conn, "select 'pgpipe_staging.item'::regclass::oid::text")
        conn.execute(SHOW.encode())
        conn.add_notice_handler(
            lambda notice: rendered.update(json.loads((notice.message_primary or "").replace(stage, "16384")))
        )
        conn.execute(MERGE.encode())
    if os.environ.get("GOLDEN") == "write":
        for template, text in rendered.items():
            (GOLDEN / f"{template}.sql").write_text(text, encoding="utf-8")

    assert rendered == {file.stem: file.read_text(encoding="utf-8") for file in GOLDEN.glob("merge_*.sql")}
    assert sorted(rendered) == TEMPLATES
