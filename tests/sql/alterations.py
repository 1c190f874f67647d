"""A table and what may be done to it by DDL: every kind that changes what its vectors depend on, or that must not."""

SETUP = """
    create type mood as enum ('fine', 'bad');
    create function voice(body text) returns text immutable language sql as 'select upper(body)';
    create table doc (id int primary key, title text, body text, size int, mood mood,
                      loud text generated always as (voice(body)) stored) {}
"""
PARTS = """
    create table doc_low partition of doc for values from (0) to (3);
    create table doc_high partition of doc for values from (3) to (50)
"""
SPARE = """
    create table spare (id int primary key, title text, body text, size int, mood mood,
                        loud text generated always as (voice(body)) stored);
    insert into spare (id, title, size, mood)
    values (60, 'spare', 1, 'fine'), (61, null, 1, null), (62, 'out', -1, null)
"""
ALTERATIONS = {
    "type using": "alter table doc alter column title type text using lower(title)",
    "type and back": "alter table doc alter column title type varchar using upper(title),"
    " alter column size type bigint; alter table doc alter column title type text, alter column size type int",
    "vacuum": "vacuum full doc",
    "rewrite": "alter table doc add column if not exists extra float default random()",
    "no matter": "alter table doc add column if not exists other int",
    "enum": "alter type mood rename value 'fine' to 'well'",
    "enum back": "alter type mood rename value 'well' to 'fine'",
    "column made again": "alter table doc drop column body cascade; alter table doc add column body text default 'new',"
    " add column loud text generated always as (voice(body || ' again')) stored",
    "expression": "alter table doc alter column loud set expression as (lower(body))",
    "truncate": "truncate doc cascade",
    "voice": "create or replace function voice(body text) returns text immutable language sql"
    " as 'select body || ''!'''",
    "attach": "alter table doc attach partition spare for values from (50) to (100)",
    "detach": "alter table doc detach partition spare",
    "attach full": "delete from doc where id > 60; alter table doc detach partition spare;"
    " update spare set title = 'late'; alter table doc attach partition spare for values from (50) to (100)",
}
FIRST = """
    insert into doc (id, title, body, size, mood)
    values (1, 'One', 'Body', 2, 'fine'), (2, 'two', null, 1, null), (3, 'DREI', ' ', 0, 'bad'),
           (4, 'out', '', -1, null)
"""
# Labels as the snapshot of the statement has them: `mood::text` would be the latest ones, whatever it sees of the rows.
ROWS = """
    select id, title, loud, case when mood is not null then (
               select enumlabel::text from pg_enum where enumtypid = 'mood'::regtype
                order by enumsortorder offset array_position(enum_range(null::mood), mood) - 1 limit 1) end,
           size >= 0
      from doc
"""


def content(title: str | None, loud: str | None, mood: str | None, wanted: bool | None) -> str | None:
    """What the model must have read of a row; None where it has no vector."""
    lines = [part for part in (title, loud, mood) if part]
    return "\n".join(lines).strip(" \t\n\r") or None if wanted else None
