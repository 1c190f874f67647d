"""The loader: two snapshots of `item` in turns, each as a process; some are killed."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pgpipe.db import Connection
from tests.chaos.soak.world import LOST, World
from tests.chaos.support import MODES, Load

FILES, ROWS = 3, 400
Texts = dict[int, str]
SUMS = """
    select load_id from pgpipe.load
     where finished_at is not null and error is null and read <> inserted + updated + unchanged + rejected
"""


class Lake:
    """A snapshot each date; every second one is like the one before the last."""

    def __init__(self, folder: Path) -> None:
        self.url, self._folder, self._dates = f"file://{folder}", folder, 0

    def next(self) -> tuple[str, Texts]:
        """Write the next date; returns it, and what `item` must be."""
        self._dates += 1
        odd = self._dates % 2
        date = f"{2000 + self._dates // 28 // 12}-{self._dates // 28 % 12 + 1:02}-{self._dates % 28 + 1:02}"
        texts: Texts = {}
        for number in range(FILES + odd):
            ids = range(number * ROWS + odd * 30, (number + 1) * ROWS)
            word = ("odd" if odd else "even") if number % 2 else "same"
            part = {n: f"{word} item{n} {'x' * (n % 90)}" for n in ids}
            to = self._folder / date / "item"
            to.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.table({"id": list(part), "text": list(part.values())}), to / f"part-{number}.parquet")
            texts |= part
        return date, texts


class Loader:
    """Loads one snapshot after the other."""

    def __init__(self, world: World) -> None:
        self._world, self._random = world, world.random("loader")
        self._lake = Lake(world.folder / "lake")

    def first(self) -> None:
        """The table is made by a load; then it is searched and embedded."""
        self.last()
        with self._world.connect() as conn:
            conn.execute("select pgpipe.enable_search('item', '{text=>A}')")
            conn.execute("select pgpipe.enable_embedding('item', '{text}', 'chaos', 3)")

    def run(self) -> None:
        """Load until the soak is over."""
        while not self._world.over.is_set():
            self._load(kill_after=self._random.random() * 3 if self._random.random() < 0.4 else None)
            self._world.pause(self._random.random() * 2)

    def last(self) -> None:
        """A load that nobody disturbs, after which the table is the snapshot and the ledger agrees."""
        self._load(disturbed=False)

    def _load(self, kill_after: float | None = None, *, disturbed: bool = True) -> None:
        world = self._world
        date, texts = self._lake.next()
        load = Load(world.database, self._lake.url, *MODES["merge"], "--date", date)
        if kill_after is not None:
            world.over.wait(kill_after)
        if kill_after is not None and load.process.poll() is None:
            load.process.kill()
            load.process.communicate()
            world.count("loads killed")
            return
        ended = load.end()
        world.count(f"loads that ended with {ended.code}")
        if "Traceback" in ended.said or (ended.code and not disturbed):
            world.violated(f"the load of {date} ended with {ended.code}: {ended.said}")
        if ended.code == 0:
            self._check(date, texts)

    def _check(self, date: str, texts: Texts) -> None:
        """Nobody else writes `item`: it is what the last load that ended well brought."""
        while True:
            try:
                with self._world.connect() as conn:
                    self._compare(conn, date, texts)
            except LOST:
                continue
            else:
                return

    def _compare(self, conn: Connection, date: str, texts: Texts) -> None:
        rows = dict(conn.execute("select id, text from item").fetchall())
        if rows != texts:
            wrong = sorted(rows.items() ^ texts.items())[:6]
            self._world.violated(f"item is not the snapshot of {date}: {len(rows)} rows of {len(texts)}, {wrong}")
        (read,) = conn.execute("select sum(read) from pgpipe.load_file").fetchone() or (0,)
        if read != len(texts):
            self._world.violated(f"after {date} the ledger says {read} rows, item has {len(texts)}")
        if sums := conn.execute(SUMS).fetchall():
            self._world.violated(f"rows of loads do not add up: {sums}")
