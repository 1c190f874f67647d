"""Status: tables for people, with bars of throughput, and the same as JSON."""

import json
from itertools import pairwise

from pgpipe.cli.status import BARS, sparkline
from pgpipe.db import Database
from tests.conftest import Cli, Lake
from tests.flow.support import load
from tests.sql.fake_model import Fake, make_worker

ROWS = [{"id": n, "text": f"some words of prose, number {n}"} for n in range(20)]


def test_bars() -> None:
    """From nothing to the maximum, each as high as its share; no values, no bars."""
    assert sparkline([0, 1, 4, 8]) == "▁▂▅█"
    assert sparkline([0, 0]) == "▁▁"
    assert sparkline([]) == ""
    assert all(a <= b for a, b in pairwise(map(BARS.index, sparkline(range(50)))))


def test_loads_and_embedding_show_their_speed(cli: Cli, database: Database, lake: Lake) -> None:
    """A bar for each load that read rows, one for each minute; the figures are those of the database."""
    assert "Throughput" not in cli("status").out
    for day in (1, 2):
        lake.put(f"2026-01-0{day}", "product", [row | {"day": day} for row in ROWS])
        load(cli, lake.url, "--key", "id")
    with database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.enable_embedding('product', '{text}', 'fake', 3)")
    make_worker(database, Fake()).drain()

    shown = cli("status")
    told = json.loads(cli("status", "--json").out)

    assert shown.code == 0
    (loads,) = told["load_rows_per_second"]
    (embedded,) = told["embedding_jobs_per_minute"]
    assert (loads["entity"], len(loads["rates"])) == ("product", 2)
    assert all(rate > 0 for rate in loads["rates"])
    assert (embedded["entity"], sum(embedded["rates"]), len(embedded["rates"])) == ("product", 20, 30)
    assert sparkline(loads["rates"]) in shown.out
    assert {"loads", "embeddings"} <= set(told)
