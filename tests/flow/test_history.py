"""History: what a table held after each load, whatever happened to it since."""

import psycopg
import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import fails, load, rows
from tests.flow.test_nights import items, run

Row = dict[str, object]
AS_OF = "select id, text from pgpipe.as_of(null::product, %s) order by id"
VERSIONS = """
    select id, text, pgpipe_from_date::text, pgpipe_began, pgpipe_to_date::text, pgpipe_ended
      from product_history order by id, pgpipe_valid_from
"""


class Nights:
    """Loads one date after another, and remembers when each had ended."""

    def __init__(self, cli: Cli, lake: Lake, database: Database) -> None:
        self._cli = cli
        self._lake = lake
        self._database = database
        self.ends: list[object] = []

    def load(self, *rows_: Row | pa.Table) -> None:
        """Load the next date."""
        given = rows_[0] if isinstance(rows_[0], pa.Table) else list(rows_)
        self._lake.put(f"2026-01-{len(self.ends) + 1:02}", "product", given)
        load(self._cli, self._lake.url, "--skip-search")
        self.ends.append(rows(self._database, "select clock_timestamp()")[0][0])

    def sql(self, statement: str) -> None:
        """What somebody else does to the table."""
        with self._database.connect(autocommit=True) as conn:
            conn.execute(statement.encode())

    def as_of(self, night: int) -> list[tuple[object, ...]]:
        """The table as a night left it."""
        return rows(self._database, AS_OF, self.ends[night])


@pytest.fixture
def nights(cli: Cli, lake: Lake, database: Database) -> Nights:
    """Nights of the entity `product`."""
    return Nights(cli, lake, database)


@pytest.mark.parametrize("mode", ["snapshot", "upsert"])
def test_each_night_is_answered(nights: Nights, database: Database, configure: Configure, mode: str) -> None:
    """Issue 13: rows that came, changed, went and came back are those of each night, with date and deed."""
    configure(mode=mode, key=["id"], history=True)
    nights.load(*items(1, 2, 3))
    nights.load({"id": 1, "text": "new"}, *items(2, 4))
    nights.load(*items(1, 2, 3, 4))

    gone = [] if mode == "snapshot" else [(3, "row 3")]
    assert nights.as_of(0) == [(1, "row 1"), (2, "row 2"), (3, "row 3")]
    assert nights.as_of(1) == [(1, "new"), (2, "row 2"), *gone, (4, "row 4")]
    assert nights.as_of(2) == rows(database, "select id, text from product order by id")
    third = [(3, "row 3", "2026-01-01", "insert", None, None)]
    if mode == "snapshot":
        third = [
            (3, "row 3", "2026-01-01", "insert", "2026-01-02", "delete"),
            (3, "row 3", "2026-01-03", "insert", None, None),
        ]
    assert rows(database, VERSIONS) == [
        (1, "row 1", "2026-01-01", "insert", "2026-01-02", "update"),
        (1, "new", "2026-01-02", "update", "2026-01-03", "update"),
        (1, "row 1", "2026-01-03", "update", None, None),
        (2, "row 2", "2026-01-01", "insert", None, None),
        *third,
        (4, "row 4", "2026-01-02", "insert", None, None),
    ]
    assert rows(database, "select count(*) from pgpipe.history_mark") == [(0,)]


def test_history_of_a_filled_table(nights: Nights, configure: Configure) -> None:
    """Issue 13: switched on later it begins with what is there, and answers for no night before."""
    configure(mode="snapshot", key=["id"], max_deleted="100%")
    nights.load(*items(1, 2))
    configure(mode="snapshot", key=["id"], max_deleted="100%", history=True)
    nights.load(*items(2, 3))
    configure(mode="snapshot", key=["id"], max_deleted="100%")
    nights.load(*items(3))
    configure(mode="snapshot", key=["id"], max_deleted="100%", history=False)
    nights.load(*items(4))
    configure(mode="snapshot", key=["id"], max_deleted="100%", history=True)
    nights.load(*items(5))

    assert [nights.as_of(night) for night in (1, 2, 4)] == [
        [(2, "row 2"), (3, "row 3")],
        [(3, "row 3")],
        [(5, "row 5")],
    ]
    for night, part in ((0, "It begins at"), (3, "and was not kept in")):
        with pytest.raises(psycopg.Error, match=f"(?s)cannot answer for .*{part}"):
            nights.as_of(night)


def test_what_others_write_appears_with_the_next_load(nights: Nights, database: Database, configure: Configure) -> None:
    """Issue 13: plain SQL, TRUNCATE and a new table falsify no past night, and are in the history after the next."""
    configure(mode="upsert", key=["id"], history=True)
    nights.load(*items(1, 2, 3, 4))
    nights.sql(
        "update product set text = 'by hand' where id = 1; delete from product where id = 2;"
        "insert into product values (9, 'mine')"
    )
    nights.load({"id": 3, "text": "new"})
    by_hand = [(1, "by hand"), (3, "new"), (4, "row 4"), (9, "mine")]
    assert [nights.as_of(0), nights.as_of(1)] == [[(n, f"row {n}") for n in (1, 2, 3, 4)], by_hand]
    nights.sql("truncate product")
    nights.load(*items(4))
    nights.sql("drop table product")
    nights.load(*items(4, 5))

    assert [nights.as_of(night) for night in (1, 2, 3)] == [by_hand, [(4, "row 4")], [(4, "row 4"), (5, "row 5")]]
    assert rows(database, "select count(*) from product_history where id = 4") == [(1,)]
    nights.sql("drop table product_history")
    nights.load(*items(4, 6))
    assert nights.as_of(4) == [(4, "row 4"), (5, "row 5"), (6, "row 6")]


def test_columns_are_followed(nights: Nights, database: Database, configure: Configure) -> None:
    """Issue 13: a column that is added, widened, dropped, renamed or narrowed breaks no load and loses no value."""
    configure(mode="upsert", key=["id"], history=True)
    nights.load(pa.table({"id": [1, 2], "text": ["a", "b"], "size": pa.array([1, 2], pa.int32())}))
    nights.load(pa.table({"id": [1, 2], "text": ["a", "b"], "size": [10**10, 2], "color": ["red", None]}))
    query = "select id, text, size, color from pgpipe.as_of(null::product, %s) order by id"
    assert rows(database, query, nights.ends[0]) == [(1, "a", 1, None), (2, "b", 2, None)]
    assert rows(database, query, nights.ends[1]) == [(1, "a", 10**10, "red"), (2, "b", 2, None)]
    nights.sql(
        "alter table product drop column color; alter table product rename column text to words;"
        "alter table product alter column size type int using size % 10000;"
        "create view texts as select text from product_history"
    )
    nights.load(pa.table({"id": [2], "size": pa.array([3], pa.int32())}))

    query = "select id, size, words from pgpipe.as_of(null::product, %s) order by id"
    assert rows(database, query, nights.ends[2]) == [(1, 0, "a"), (2, 3, "b")]
    assert rows(database, "select distinct text, color from product_history where color is not null") == [("a", "red")]
    ((kept,),) = rows(
        database,
        "select attname from pg_attribute where attrelid = 'product_history'::regclass and attname ~ '^size_until_'",
    )
    assert rows(database, f"select max({kept}), min({kept}) from product_history") == [(10**10, 1)]


def test_old_versions_are_deleted(nights: Nights, database: Database, configure: Configure) -> None:
    """Issue 13: `keep` deletes what ended before it, never a version that holds; and says what it cannot answer.

    The index of ends forgets what lay where it deletes.
    """
    configure(mode="snapshot", key=["id"], history=True, keep="400 days")
    nights.load(*items(1, 2, 3))
    nights.load({"id": 1, "text": "new"}, *items(3))
    nights.sql(
        "update product_history set pgpipe_valid_from = pgpipe_valid_from - interval '401 days',"
        " pgpipe_valid_to = pgpipe_valid_to - interval '401 days';"
        "update pgpipe.history set since = since - interval '500 days'"
    )
    nights.sql("vacuum product_history")
    summarize = "select brin_summarize_new_values('product_history_pgpipe_valid_to_idx')"
    assert rows(database, summarize) == [(0,)]
    nights.load(*items(1, 3))
    assert rows(database, summarize) == [(1,)]

    assert rows(database, VERSIONS) == [
        (1, "new", "2026-01-02", "update", "2026-01-03", "update"),
        (1, "row 1", "2026-01-03", "update", None, None),
        (3, "row 3", "2026-01-01", "insert", None, None),
    ]
    assert rows(
        database, "select since between now() - interval '401 days' and now() - interval '399 days' from pgpipe.history"
    ) == [(True,)]


def test_a_date_means_its_end(nights: Nights, database: Database, configure: Configure) -> None:
    """Issue 13: a date, as such or as text, is answered as of its end; a timestamp of any kind as of itself."""
    configure(mode="snapshot", key=["id"], history=True)
    nights.load(*items(1))
    nights.sql(
        "update pgpipe.history set since = '2026-01-01';"
        "update product_history set pgpipe_valid_from = '2026-01-05 06:00+00'"
    )
    count = "select count(*) from pgpipe.as_of(null::product, {})"

    for moment, found in {
        "date '2026-01-05'": 1,
        "'2026-01-05'": 1,
        "date '2026-01-04'": 0,
        "timestamptz '2026-01-05'": 0,
        "'2026-01-05 00:00'": 0,
        "timestamp '2026-01-05 06:00'": 1,
        "'2026-01-05T06:00:00+00'": 1,
    }.items():
        assert rows(database, count.format(moment)) == [(found,)], moment


def test_who_reads_a_history(nights: Nights, database: Database, configure: Configure) -> None:
    """Issue 13: it is its target's owner's; who reads the target reads it, and at once nobody who does not."""
    configure(mode="snapshot", key=["id"], history=True, max_deleted="100%")
    nights.load(*items(1))
    readers = (
        "select coalesce(string_agg(grantee::regrole::text, ',' order by 1), '') from pg_class,"
        " aclexplode(relacl) where relname = 'product_history' and grantee <> relowner"
    )
    nights.sql(
        "grant select on product to pg_read_server_files, pg_read_all_settings;"
        "grant select (id) on product to pg_signal_backend"
    )
    nights.load(*items(2))
    assert rows(database, readers) == [("pg_read_all_settings,pg_read_server_files",)]
    seen = "set role {}; do $$ begin assert (select count(*) from product_history) = {}; end $$"
    nights.sql(seen.format("pg_read_server_files", 2))
    nights.sql("revoke select on product from pg_read_server_files")
    nights.sql(seen.format("pg_read_server_files", 0))
    nights.load(*items(3))
    assert rows(database, readers) == [("pg_read_all_settings",)]
    nights.sql(seen.format("pg_read_all_settings", 3))
    nights.sql("alter table product enable row level security")
    nights.sql(seen.format("pg_read_all_settings", 0))
    nights.load(*items(4))
    assert rows(database, readers) == [("",)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        nights.sql("set role pg_read_all_settings; select * from pgpipe.as_of(null::product, now())")


@pytest.mark.parametrize(
    ("settings", "column", "parts"),
    [
        ({"mode": "append"}, "text", ("history = true needs a key", "the mode is append")),
        ({"key": ["id"], "keep": "3 days", "history": None}, "text", ("keep is how long a history lasts",)),
        ({"key": ["id"]}, "pgpipe_began", ("the column name pgpipe_began is taken by the history",)),
    ],
)
def test_no_history_by_name(
    cli: Cli, lake: Lake, configure: Configure, settings: Row, column: str, parts: tuple[str, ...]
) -> None:
    """Issue 13: what cannot have a history is refused by plan and load, with what to write."""
    configure(**{"history": True} | settings)
    lake.put("2026-01-01", "product", [{"id": 1, column: "a"}])

    fails(run(cli, lake), 1 if column == "pgpipe_began" else 2, "product: ", *parts)
    fails(cli("plan", "--source", lake.url), 1, "product: ", *parts)


def test_names_of_histories(cli: Cli, lake: Lake, nights: Nights, configure: Configure) -> None:
    """Issue 13: a history is never loaded into as an entity, and takes no name that another table has."""
    nights.sql("create table product_history (id int)")
    configure(key=["id"], history=True)
    lake.put("2026-01-01", "product", items(1))
    fails(run(cli, lake), 1, "public.product_history is there already and is not the history of public.product")
    nights.sql("drop table product_history")
    nights.load(*items(1))
    lake.put("2026-01-01", "product_history", items(1))
    line = fails(run(cli, lake, "--entity", "product_history"), 1, "give the folder another name")
    assert "public.product_history keeps the history of public.product" in line


def test_deletes_that_come_later_and_cascades(database: Database) -> None:
    """Issue 13: the history is the table also if a merge deletes later, and if a foreign key takes more rows along."""
    with database.connect(autocommit=True) as conn:
        conn.execute(
            """create table product (id int primary key, text text, up int references product on delete cascade);
               insert into product values (1, 'a', null), (2, 'b', null), (4, 'of 2', 2);
               create table pgpipe_staging.product (id int, text text);
               insert into pgpipe_staging.product values (1, 'x'), (3, 'c'), (4, 'of 2')"""
        )
        with conn.transaction():
            conn.execute("select pgpipe_internal.set_history('product', '{id}', true, null)")
            conn.execute("select pgpipe_internal.keep_versions('product', null, '{id}', null, true)")
        with conn.transaction():
            conn.execute(
                "select pgpipe_internal.merge('product', 'pgpipe_staging.product', '{id,text}', '{id}', 'snapshot',"
                " '[]', '{}', true)"
            )
            conn.execute("select pgpipe_internal.merge_deletions('product', 'pgpipe_staging.product', '{id}')")

    assert rows(database, "select id, text from pgpipe.as_of(null::product, now()) order by id") == [(1, "x"), (3, "c")]
    assert rows(database, "table product order by id") == [(1, "x", None), (3, "c", None)]
    assert rows(database, "select count(*) from pgpipe.history_mark") == [(0,)]
