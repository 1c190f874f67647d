"""Distributed targets, by a stand-in for Citus: what is distributed, what loads do, what is refused."""

import pytest

from pgpipe.db import Connection
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import counts, fails, load
from tests.sql.support import column, sqlstate, value

ASKED = "select made, column_name, beside from pretended.asked order by place"
TRIGGERS = "select count(*) from pg_trigger join pg_class c on c.oid = tgrelid where relname ~ '^product' "
FILES = "select count(*) from pgpipe.load_file"
SPREAD = {"mode": "snapshot", "key": ["id"], "distribute": "id", "max_deleted": "100%"}
ROWS = [{"id": n, "text": f"row {n}", "size": n} for n in range(1, 5)]


def test_both_dates(pretending: Connection, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 18: target and staging are distributed, the latter beside the former; both dates are exact; no trigger."""
    conn = pretending
    configure(**SPREAD, search={"columns": {"text": "A"}})
    lake.put("2026-01-01", "product", ROWS)
    assert counts(load(cli, lake.url)["product", "import"]) == (4, 0, 0, 0)
    lake.put("2026-01-02", "product", [{**ROWS[0], "more": True}, {**ROWS[1], "text": "new", "more": None}, {"id": 9}])
    assert counts(load(cli, lake.url)["product", "import"]) == (1, 1, 2, 1)
    assert counts(load(cli, lake.url)["product", "import"]) == (0, 0, 0, 0)

    stage = 'pgpipe_staging."public.product"'
    assert conn.execute(ASKED).fetchall() == [(stage, "id", "default"), (stage, "id", "public.product")]
    assert value(conn, TRIGGERS) == 0
    found = "select p.id, p.text, p.size, p.more from product p order by 1"
    assert conn.execute(found).fetchall() == [(1, "row 1", 1, True), (2, "new", 2, None), (9, None, None, None)]
    assert column(conn, "select (key ->> 'id')::int from pgpipe.text_search('product', 'new')") == [2]


def test_what_a_distributed_target_holds(pretending: Connection, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 18: no trigger sees a TRUNCATE, so an empty target holds no file; nor does one that was made again."""
    conn = pretending
    configure(**SPREAD)
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url)
    for emptied in ("truncate product", "drop table product"):
        conn.execute(emptied.encode())
        assert counts(load(cli, lake.url)["product", "import"]) == (4, 0, 0, 0)
    assert value(conn, FILES) == 1
    assert load(cli, lake.url)["product", "import"]["state"] == "nothing to do"


def test_appended_rows_are_staged(pretending: Connection, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 18: rows are appended from a staging table, so that the one which breaks a CHECK is rejected."""
    conn = pretending
    configure(**SPREAD | {"mode": "append", "bad_values": "reject"})
    lake.put("2026-01-01", "product", ROWS[:2])
    load(cli, lake.url)
    conn.execute("alter table product add constraint small check (size < 4)")
    lake.put("2026-01-02", "product", ROWS[2:])
    done = load(cli, lake.url)["product", "import"]

    assert (done["inserted"], done["rejected"]) == (1, 1)
    assert column(conn, "select id from product order by 1") == [1, 2, 3]
    assert len(conn.execute(ASKED).fetchall()) == 4  # the target, two attempts, and a look at the rows that broke it


REFUSED = [
    ({"key": [], "mode": "append"}, "a distributed table needs a key"),
    ({"distribute": "text"}, "distribute names 'text', which is not a column of the key (id)"),
    ({"history": True}, "history does not work on a distributed table"),
    ({"soft_delete": "gone_at"}, "soft_delete does not work on a distributed table"),
    ({"mode": "upsert", "order": ["size"]}, "order and delete of change files does not work on a distributed table"),
    ({"embed": {"columns": ["text"], "filters": ["size"]}}, "embed.filters does not work on a distributed table"),
]


def test_refused_by_name(pretending: Connection, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 18: what does not work on a distributed table is refused by name before a row is read."""
    lake.put("2026-01-01", "product", ROWS)
    for settings, words in REFUSED:
        configure(**SPREAD | settings)
        fails(cli("load", "--source", lake.url), 2, "product: ", words)
    assert value(pretending, "select to_regclass('product') is null")


def test_refused_of_a_table(pretending: Connection, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 18: so is what would change a distributed table so that it does not work, by the database itself too."""
    conn = pretending
    configure(**SPREAD)
    lake.put("2026-01-01", "product", ROWS)
    load(cli, lake.url)
    lake.put("2026-01-02", "product", [{"id": 1 << 40 | 1, "text": "", "size": 1}])
    conn.execute("create table small (id int primary key, text text)")
    conn.execute("select pgpipe_internal.after_create('small', 'id')")
    lake.put("2026-01-02", "small", [{"id": 1 << 40, "text": ""}])
    fails(cli("load", "--source", lake.url, "--entity", "small"), 2, "small: the files need 'id' as bigint")
    refused = {
        "select pgpipe.enable_search('product', '{text=>A}', online => true)": "PP022",
        "select pgpipe_internal.set_history('product', '{id}', true, null)": "PP022",
        "select pgpipe_internal.set_soft_delete('product', 'gone_at')": "PP022",
        "select pgpipe_internal.after_create('product', 'nothing')": "PP002",
    }
    assert {statement: sqlstate(conn, statement) for statement in refused} == refused


def test_small_entities_stay_local(pretending: Connection, cli: Cli, lake: Lake, configure: Configure) -> None:
    """Issue 18: the setting counts when the table is made; one that is there stays as it is, and the plan says so."""
    lake.put("2026-01-01", "product", ROWS)
    configure(**SPREAD | {"distribute": None})
    load(cli, lake.url)
    configure(**SPREAD)
    lake.put("2026-01-02", "product", ROWS[:1])

    assert "the table is not distributed" in load(cli, lake.url)["product", "import"]["note"]
    assert pretending.execute(ASKED).fetchall() == []


@pytest.mark.parametrize(
    ("setting", "words"),
    [(None, "distribute needs the extension citus"), ("timezone", "worker:5432 would write texts otherwise")],
)
def test_servers_that_do_not_fit(
    cli: Cli, lake: Lake, configure: Configure, request: pytest.FixtureRequest, setting: str | None, words: str
) -> None:
    """Issue 18: without Citus, or if a server of it writes texts otherwise, nothing is distributed, or left behind."""
    lake.put("2026-01-01", "product", ROWS)
    configure(**SPREAD)
    if setting:
        conn = request.getfixturevalue("pretending")
        conn.execute("insert into pretended.setting values ('worker', %s, 'Asia/Tokyo')", (setting,))
        assert words in cli("doctor", "--source", lake.url, "--skip-model").out
    fails(cli("load", "--source", lake.url), 2, words)
