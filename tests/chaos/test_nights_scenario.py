"""Thirty nights over three entities, with every fault of the data, beside a model in Python.

NIGHTS= and SEED= play longer ones: `make nights`.
"""

import os
import subprocess
import sys
import time
from datetime import timedelta

import pyarrow as pa
import pytest

from pgpipe.db import Database
from tests.chaos.embedders import faults
from tests.chaos.nights import FIRST, Nights, Row
from tests.conftest import Cli, Lake
from tests.flow.support import rows, table
from tests.sql.fake_model import Fake, make_worker

NIGHTS = int(os.environ.get("NIGHTS") or 30)
CASES = [(int(os.environ["SEED"]), NIGHTS)] if os.environ.get("SEED") else [(1, NIGHTS), (2, 17)]  # 17: each fault once
STORED = """
    select id, chunk, model, encode(content_hash, 'hex'), char_start, char_end, vector::real[] from product_embedding
"""


class Play:
    """One run of the nights: it produces, loads as a user would, and checks."""

    def __init__(self, nights: Nights, cli: Cli, database: Database) -> None:
        self.nights, self.model, self.cli, self.database = nights, nights.model, cli, database
        self.past: list[tuple[object, dict[int, Row]]] = []
        self.snapshot_refused: tuple[str, ...] = ()  # words of the line that refuses the newest one

    def load(self, *refused: str) -> None:
        """A plain load. It ends with 1 and says each part of why, if something is refused."""
        result = self.cli("load", "--json")
        assert (result.code, bool(result.err)) == ((1, True) if refused else (0, False)), (self.nights.day, result)
        for part in refused:
            assert part in result.err, (self.nights.day, result.err)

    def processes(self, count: int) -> list[subprocess.Popen]:
        """Loads as processes of their own."""
        command = [sys.executable, "-W", "ignore", "-m", "pgpipe", "-q", "load", "--json"]
        environment = os.environ | {"DATABASE_URL": self.database.url}
        null = subprocess.DEVNULL
        return [
            subprocess.Popen(command, cwd=self.nights.folder, env=environment, stdout=null, stderr=null)
            for _ in range(count)
        ]

    # The faults: each produces tonight's files, loads, and brings the model to what must be true then.

    def nothing_wrong(self) -> None:
        self.nights.produce()
        self.load()
        self.model.load()

    def missed_night(self) -> None:
        """Nobody loads."""
        self.nights.produce()

    def missed_drop(self) -> None:
        """Nobody produces. What was wrong with sales is mended; what was wrong with a snapshot is refused again."""
        self.nights.mend()
        self.load(*self.snapshot_refused)
        self.model.load()

    def late_file(self) -> None:
        """A file of sales comes to a date that is in: to bring it in would put old rows over new ones."""
        self.nothing_wrong()
        key = next(iter(self.model.sale))
        with self.nights.stray(self.nights.day - timedelta(days=1), "sale", [{"id": key, "amount": -1}]):
            result = self.cli("load", "--json")
            assert "part-9.parquet" in result.err + result.out, (self.nights.day, result)

    def late_changes(self) -> None:
        """A part of tonight's changes comes tomorrow."""
        night = self.nights.produce()
        half = len(night.customer) // 2
        self.nights.late.append((night.day, night.customer[half:]))
        night.customer = night.customer[:half]
        self.nights.put(night.day, "customer", night.customer)
        self.load()
        self.model.load()

    def older_again(self) -> None:
        self.nothing_wrong()
        result = self.cli("load", "--date", FIRST.isoformat(), "--entity", "product")
        assert result.code == 1, result
        assert "is older" in result.err, result

    def truncated_snapshot(self) -> None:
        night = self.nights.produce()
        self.nights.put_products(dict(list(night.product.items())[: len(night.product) // 4]))
        self.snapshot_refused = ("product", "max_deleted")
        self.load(*self.snapshot_refused)
        self.model.load("product")

    def empty_file(self) -> None:
        self.nights.produce()
        self.nights.put_products({})
        self.snapshot_refused = ("product", "delete all rows", "max_deleted")
        self.load(*self.snapshot_refused)
        self.model.load("product")

    def doubled_key(self) -> None:
        night = self.nights.produce()
        sales = list(night.sale.values())
        self.nights.put(night.day, "sale", [*sales, sales[0]])
        self.nights.mends.append((night.day, night.sale))
        self.load("sale", str(sales[0]["id"]))
        self.model.load("sale")

    def changed_type(self) -> None:
        """Amounts come as words; the producer mends it the day after."""
        night = self.nights.produce()
        self.nights.put(night.day, "sale", [{"id": key, "amount": "much"} for key in night.sale])
        self.nights.mends.append((night.day, night.sale))
        self.load("sale", "amount")
        self.model.load("sale")

    def wider_type(self) -> None:
        self.nights.price = pa.int64()
        self.nothing_wrong()

    def renamed_column(self) -> None:
        self.nights.title = "product_title"
        self.nights.configure()
        self.nothing_wrong()

    def killed_load(self) -> None:
        self.nights.produce()
        (load,) = self.processes(1)
        time.sleep(self.nights.draw.uniform(0.5, 2))
        load.kill()
        load.wait()
        self.load()
        self.model.load()

    def two_loads_at_once(self) -> None:
        self.nights.produce()
        assert [load.wait() for load in self.processes(2)] == [0, 0]
        self.model.load()

    # What must hold after each night.

    def check(self) -> None:
        for name in ("product", "sale", "customer"):
            held = table(self.database, name, "id")
            gone = {key for key, row in held.items() if row.pop("deleted_at", None)}
            assert gone == (self.model.gone if name == "product" and self.nights.keeps_gone else set()), self.nights.day
            held = {key: row for key, row in held.items() if key not in gone}
            assert held == getattr(self.model, name), (self.nights.day, name)
        make_worker(self.database, Fake(), name="chaos").drain()
        texts = {key: row["title"] for key, row in self.model.product.items()}
        stored = [row for row in rows(self.database, STORED) if not self.nights.keeps_gone or row[0] in texts]
        assert faults(texts, stored) == [], self.nights.day
        ((now,),) = rows(self.database, "select clock_timestamp()")
        self.past.append((now, dict(self.model.product)))

    def check_history(self) -> None:
        for moment, held in self.past:
            then = rows(self.database, "select id, title, price from pgpipe.as_of(null::product, %s)", moment)
            assert {row[0]: row[1:] for row in then} == {
                key: (row["title"], row["price"]) for key, row in held.items()
            }, moment


FAULTS = [
    *[Play.nothing_wrong] * 2, Play.missed_night, Play.missed_drop, Play.late_file, Play.late_changes,
    Play.older_again, Play.truncated_snapshot, Play.empty_file, Play.doubled_key, Play.changed_type, Play.wider_type,
    Play.renamed_column,
]  # fmt: skip
SLOW = [Play.killed_load, Play.two_loads_at_once]


@pytest.mark.parametrize(("seed", "played"), CASES)
def test_thirty_nights(seed: int, played: int, cli: Cli, database: Database, lake: Lake) -> None:
    """Whatever a night brings: targets equal the model, history knows each past night, no vector is stale."""
    nights = Nights(lake, lake.path.parent, seed)
    play = Play(nights, cli, database)
    for _ in range(2):
        play.nothing_wrong()
    with database.connect(autocommit=True) as conn:
        conn.execute("select pgpipe.enable_embedding('product', '{title}', 'chaos', 3)")
    play.check()
    # Each fault comes at least once; those that start processes, once in fifteen nights.
    count = played - 2
    planned = [*FAULTS, *SLOW * max(1, count // 15)]
    planned += [nights.draw.choice(FAULTS) for _ in range(count - len(planned))]
    nights.draw.shuffle(planned)
    for fault in planned:
        if fault is not Play.missed_drop:
            play.snapshot_refused = ()
        fault(play)
        play.check()
    play.check_history()
