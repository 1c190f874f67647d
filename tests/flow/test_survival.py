"""What others made on a target survives every load: views, grants, indexes, triggers, constraints, columns."""

from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import counts, load, rows

MADE = """
    create view cheap as select id, text from product where size < 10;
    create materialized view sizes as select sum(size) as total from product;
    create index product_size on product (size);
    create table note (id bigint references product (id) on delete cascade, note text);
    alter table product add column rating int default 3, add constraint small check (size < 1000);
    create table audit (what text);
    create function audit() returns trigger language plpgsql as
        $$ begin insert into audit values (tg_op || ' ' || coalesce(new.id, old.id)); return null; end $$;
    create trigger audit after insert or update or delete on product for each row execute function audit();
    alter table product enable row level security;
    create policy everyone on product using (true);
    grant select on product to public;
    grant update (text) on product to public;
    comment on table product is 'mine';
    insert into note values (1, 'stays'), (2, 'stays too'), (3, 'goes with its row');
"""
THINGS = """
    select c.oid::text, c.relacl::text, c.relrowsecurity, obj_description(c.oid),
           (select array_agg(g.tgname::text order by g.tgname) from pg_trigger g where g.tgrelid = c.oid)
      from pg_class c where c.oid = 'product'::regclass
"""


def test_everything_on_the_target_survives(cli: Cli, lake: Lake, database: Database) -> None:
    """It is the same table, and only rows that differ were written to it."""
    lake.put("2026-01-01", "product", [{"id": n, "text": f"row {n}", "size": n} for n in (1, 2, 3)])
    lake.put("2026-01-02", "product", [{"id": n, "text": f"row {n}", "size": n * n} for n in (1, 2, 4)])
    load(cli, lake.url, "--date", "2026-01-01", "--key", "id", "--mode", "snapshot")
    with database.connect(autocommit=True) as conn:
        conn.execute(MADE.encode())
    before = rows(database, THINGS)

    stage = load(cli, lake.url, "--key", "id", "--mode", "snapshot")["product", "import"]

    assert counts(stage) == (1, 1, 1, 1)
    assert rows(database, THINGS) == before
    assert rows(database, "select * from cheap order by id") == [(1, "row 1"), (2, "row 2")]
    assert rows(database, "select what from audit order by what") == [("DELETE 3",), ("INSERT 4",), ("UPDATE 2",)]
    assert rows(database, "select id, note from note order by id") == [(1, "stays"), (2, "stays too")]
    assert rows(database, "select id, rating from product order by id") == [(1, 3), (2, 3), (4, 3)]
    assert rows(database, "select indisvalid from pg_index where indexrelid = 'product_size'::regclass") == [(True,)]
    assert rows(database, "select attacl::text from pg_attribute where attname = 'text' and attacl is not null")


def test_a_snapshot_with_new_and_wider_columns_keeps_them_too(cli: Cli, lake: Lake, database: Database) -> None:
    """Unless what was made depends on the very type that changes."""
    lake.put("2026-01-01", "product", [{"id": 1, "text": "row 1", "size": 1}])
    lake.put("2026-01-02", "product", [{"id": 1, "text": "row 1", "size": 1, "colour": "red"}])
    load(cli, lake.url, "--date", "2026-01-01", "--key", "id", "--mode", "snapshot")
    with database.connect(autocommit=True) as conn:
        conn.execute(b"create view everything as select * from product; grant select on everything to public")

    load(cli, lake.url, "--key", "id", "--mode", "snapshot")

    assert rows(database, "select id, text, size from everything") == [(1, "row 1", 1)]
    assert rows(database, "select colour from product") == [("red",)]
