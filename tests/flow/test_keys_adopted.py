"""A key that is configured later takes the place of pgpipe_row, or one line says why it does not."""

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import counts, fails, load, rows
from tests.flow.test_history import Nights
from tests.flow.test_nights import items, run
from tests.sql.fake_model import Fake, make_worker

KEY = "select pgpipe_internal.key_columns('product')"
COLUMNS = """
    select array_agg(attname::text order by attnum) from pg_attribute
     where attrelid = 'product'::regclass and attnum > 0 and not attisdropped
"""
KEEPS = {
    "view": "create view seen as select pgpipe_row from product",
    "index": "create index on product (text, pgpipe_row)",
    "reference": "create table other (product bigint references product)",
    "rule": "create view grouped as select pgpipe_row, text from product group by pgpipe_row",
}


@pytest.fixture
def nights(cli: Cli, lake: Lake, database: Database) -> Nights:
    """One night of `product` that had no key."""
    night = Nights(cli, lake, database)
    night.load(*items(1, 2, 3))
    return night


def test_a_later_key_takes_the_place(
    nights: Nights, cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """Issue 13: the rows are found by it, it is the primary key, and pgpipe_row is gone; doubles and NULL stop it."""
    configure(key=["id"])
    nights.sql("insert into product (id, text) values (1, 'double')")
    lake.put("2026-01-02", "product", items(2, 4))
    fails(run(cli, lake), 1, "not unique by the key (id)", "such as '1'")
    nights.sql("update product set id = null where text = 'double'")
    assert "pgpipe_row stays the primary key" in cli("plan", "--source", lake.url).out
    nights.sql("delete from product where id is null")
    assert "id becomes the primary key, in the place of pgpipe_row" in cli("plan", "--source", lake.url).out
    assert rows(database, KEY) == [(["pgpipe_row"],)]

    done = load(cli, lake.url, "--skip-search")["product", "import"]
    assert (counts(done), "in the place of pgpipe_row" in done["note"]) == ((1, 0, 0, 1), True)
    assert (rows(database, KEY), rows(database, COLUMNS)) == ([(["id"],)], [(["id", "text"],)])
    indexes = "select array_agg(indexrelid::regclass::text), bool_and(indisvalid) from pg_index where indrelid = {}"
    assert rows(database, indexes.format("'product'::regclass")) == [(["product_pkey"], True)]
    lake.put("2026-01-03", "product", items(1, 5))
    done = load(cli, lake.url, "--skip-search")["product", "import"]
    assert (counts(done), "pgpipe_row" in done["note"]) == ((1, 0, 0, 1), False)


@pytest.mark.usefixtures("nights")
def test_a_load_that_is_refused_adopts_no_key(cli: Cli, lake: Lake, database: Database, configure: Configure) -> None:
    """A gate, or a frozen contract: the table keeps its key, and no index is left that would refuse other rows."""
    lake.put("2026-01-02", "product", items(2, 4))
    before = rows(database, COLUMNS)
    configure(key=["id"], checks={"id < 4": "error"})
    fails(run(cli, lake), 1, "id < 4")
    assert (rows(database, KEY), rows(database, COLUMNS)) == ([(["pgpipe_row"],)], before)
    assert rows(database, "select count(*) from pg_index where indrelid = 'product'::regclass") == [(1,)]
    configure(key=["id"], contract="freeze")
    done = load(cli, lake.url, "--skip-search")["product", "import"]
    assert (counts(done), "the contract is frozen" in done["note"]) == ((1, 0, 0, 1), True)
    assert rows(database, KEY) == [(["pgpipe_row"],)]


def test_a_key_too_long_for_an_index(
    nights: Nights, cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """Rows are found by it all the same, and pgpipe_row stays; the load says why."""
    nights.sql("update product set text = (select string_agg(md5(id || n::text), '') from generate_series(1, 500) n)")
    long = dict(rows(database, "select id, text from product"))
    configure(key=["text"])
    lake.put("2026-01-02", "product", pa.table({"id": [1, 9], "text": [long[1], "short"]}))
    result = cli("load", "--source", lake.url, "--skip-search", "--json")
    assert (result.code, "pgpipe_row stays the primary key until the next load" in result.err) == (0, True), result
    assert rows(database, "select count(*), count(distinct text) from product") == [(4, 4)]
    assert rows(database, KEY) == [(["pgpipe_row"],)]


@pytest.mark.parametrize("what", KEEPS)
def test_what_keeps_the_generated_key(
    nights: Nights, cli: Cli, lake: Lake, database: Database, configure: Configure, what: str
) -> None:
    """Issue 13: what depends on pgpipe_row or on its key is left alone, and the load works."""
    nights.sql(KEEPS[what])
    configure(key=["id"])
    lake.put("2026-01-02", "product", items(2, 4))
    done = load(cli, lake.url, "--skip-search")["product", "import"]
    assert counts(done) == (1, 0, 0, 1)
    is_adopted = what in {"view", "index"}
    assert rows(database, KEY) == [(["id"] if is_adopted else ["pgpipe_row"],)]
    assert ("stays the primary key, and rows are found by id" in done["note"]) == (not is_adopted)
    assert "pgpipe_row" in rows(database, COLUMNS)[0][0]


def test_vectors_keep_the_generated_key(
    nights: Nights, cli: Cli, lake: Lake, database: Database, configure: Configure
) -> None:
    """Issue 13: rows keep their vectors, because pgpipe_row stays; the line says how to be rid of it."""
    nights.sql("select pgpipe.enable_embedding('product', '{text}', 'fake', 3)")
    make_worker(database, Fake()).drain()
    configure(key=["id"])
    lake.put("2026-01-02", "product", items(2, 4))
    done = load(cli, lake.url, "--skip-search")["product", "import"]
    assert "vectors of public.product_embedding are kept by it" in done["note"]
    make_worker(database, model := Fake()).drain()
    assert [len(call) for call in model.calls] == [1]
    assert rows(database, "select count(*) from product_embedding join product using (pgpipe_row)") == [(4,)]
    nights.sql(
        "create table kept as select product.id, stored.vector"
        " from product join product_embedding stored using (pgpipe_row) where stored.chunk = 0;"
        "select pgpipe.disable_embedding('product')"
    )
    lake.put("2026-01-03", "product", items(2, 5))
    load(cli, lake.url, "--skip-search")
    assert rows(database, KEY) == [(["id"],)]
    nights.sql("select pgpipe.enable_embedding('product', '{text}', 'fake', 3)")
    adopt = cli("embedding", "adopt", "product", "--from", "kept", "--vector", "vector", "--key", "id", "--check", "0")
    assert adopt.code == 0, adopt
    assert rows(database, "select array_agg(id order by id) from product_embedding") == [([1, 2, 3, 4],)]
