"""The statements of a merge: what their templates become for one table, with names that need quotes."""

import json
import os
import re
from pathlib import Path

from pgpipe import schema
from pgpipe.db import Connection, Database
from tests.conftest import pretend

GOLDEN = Path(__file__).with_name("golden")
TEMPLATES = {file.stem for file in schema.ROOT.glob("sql/templates/merge_*.sql")}
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
                                           '{shop,"Item no"}', 'item', known.sql)
      from (values ('price >= 0 -- or free'), ('select shop from staged group by shop')) known (sql);
    select pgpipe_internal.sample_difference('item', 'pgpipe_staging.item', '{shop,"Item no",title,price}',
                                             '{shop,"Item no"}', 'update', 3);
    select pgpipe_internal.set_history('item', '{shop,"Item no"}', true, '400 days');
    select pgpipe_internal.keep_versions('item', 'pgpipe_staging.item', '{shop,"Item no"}', '{update}', false);
    alter table item add column gone timestamptz; insert into pgpipe.soft_delete values ('item', 'gone');
    select pgpipe_internal.merge_statement('mark', 'item', 'pgpipe_staging.item', 'item', '{}', '{shop,"Item no"}');
    delete from pgpipe.soft_delete; alter table item drop column gone;
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
CHANGES = """
    create table pgpipe_staging.item (shop int, "Item no" text, title text, price numeric, pgpipe_part bigint,
                                      pgpipe_number bigint, pgpipe_deleted boolean);
    insert into pgpipe.tombstone values ('public', 'item', '{"shop": 1, "Item no": "d"}', '{"price": 1}', '2026-01-01');
    insert into pgpipe_staging.item values (1, 'b', 'deux', 2, 0, 0), (1, 'b', 'D', 3, 0, 1), (2, 'b', null, 1, 0, 2);
    select pgpipe_internal.reduce_changes('item', 'pgpipe_staging.item', '{shop,"Item no"}', known.changes),
           pgpipe_internal.merge('item', 'pgpipe_staging.item', '{shop,"Item no",title,price}', '{shop,"Item no"}',
                                 'upsert', '[]', '{}', changes => known.changes)
      from (values (jsonb '{
            "order": ["price", "title"], "delete": "title = ''D''", "ties_from": 1, "schema": "public",
            "entity": "item", "date": "2026-01-02", "newest": "2026-01-02"}')) known (changes);
    select pgpipe_internal.fill_changes('pgpipe_staging.made', 'pgpipe_staging.item', '{shop,"Item no",title,price}')
"""


SPREAD = """
    create table spread (shop int, "Item no" text, title text, primary key (shop, "Item no"));
    select pgpipe_internal.after_create('spread', 'shop');
    select pgpipe.enable_embedding('spread', '{title}', 'fake', 3);
    create table pgpipe_staging.spread (like spread);
"""
ENQUEUE = """
    select pgpipe_internal.merge('spread', 'pgpipe_staging.spread', '{shop,"Item no",title}', '{shop,"Item no"}',
                                 'upsert', '[]', '{}');
    select pgpipe_internal.append_staged('spread', 'pgpipe_staging.spread', '{shop,"Item no",title}')
"""


def test_golden_files(database: Database) -> None:
    """What the templates become is what tests/sql/golden/ shows; `make golden` writes it."""
    with database.connect(autocommit=True) as conn:
        pretend(conn)
        conn.execute(SAMPLE.encode())
        conn.execute(SPREAD.encode())
        conn.execute(SHOW.encode())
        rendered = _rendered(conn, MERGE)
        conn.execute("drop table pgpipe_staging.item; create table pgpipe_staging.made (like item)")
        of_changes = _rendered(conn, CHANGES)
        enqueued = _rendered(conn, ENQUEUE)
    rendered["merge_changes_difference"] = of_changes["merge_difference"]
    rendered |= {template: text for template, text in of_changes.items() if template.startswith("merge_changes_")}
    rendered |= {template: text for template, text in enqueued.items() if template.startswith("merge_enqueue")}
    if os.environ.get("GOLDEN") == "write":
        for template, text in rendered.items():
            (GOLDEN / f"{template}.sql").write_text(text, encoding="utf-8")

    assert rendered == {file.stem: file.read_text(encoding="utf-8") for file in GOLDEN.glob("merge_*.sql")}
    assert set(rendered) == TEMPLATES | {"merge_changes_difference"}


def _rendered(conn: Connection, statements: str) -> dict[str, str]:
    """What each template becomes in these statements; oids and times are always the same."""
    notices: list[str] = []
    conn.add_notice_handler(note := lambda notice: notices.append(notice.message_primary or ""))
    for statement in statements.split(";\n"):
        conn.execute(statement.encode())
    conn.remove_notice_handler(note)
    found = dict[str, str]()
    for text in notices:
        (template, made), *_ = json.loads(text).items()
        if template.startswith("merge_enqueue"):
            made = re.sub(r"'20\d\d-[^']*'", "'2026-01-01T00:01:00+00:00'", made)
        found[template] = re.sub(r"(pgpipe_(?:difference|history)_)\d+", r"\g<1>16384", made)
    return found
