"""Foreign keys: rows that refer to others of the same date are loaded together with them, in an order that works."""

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.conftest import Cli, Configure, Lake
from tests.flow.support import counts, load, rows

TREE = """
    create table product (id bigint primary key, up bigint references product {}, code text not null unique);
    insert into product values (1, null, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, 3, 'd')
"""


@pytest.mark.parametrize("action", ["", "on delete cascade", "on delete set null", "deferrable initially deferred"])
def test_a_tree(cli: Cli, lake: Lake, database: Database, configure: Configure, action: str) -> None:
    """L31: rows move below rows that are new, and away from rows that go; nothing hangs on these that stays."""
    configure(key=["id"], mode="snapshot")
    with database.connect(autocommit=True) as conn:
        conn.execute(TREE.format(action).encode())
    after = {"id": [4, 3, 8, 9], "up": [9, 4, None, 8], "code": ["d", "a", "x", "b"]}  # 1 and 2 go, their codes stay
    lake.put("2026-01-02", "product", pa.table(after))

    stage = load(cli, lake.url)["product", "import"]

    assert counts(stage) == (2, 2, 2, 0)
    found = rows(database, "select * from product order by id")
    assert found == [(3, 4, "a"), (4, 9, "d"), (8, None, "x"), (9, 8, "b")]
