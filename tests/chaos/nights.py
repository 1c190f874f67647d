"""A lake that is filled night by night, with faults on order, and a model in Python of what the targets must hold."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from tests.fixtures.lakes import Lake

FIRST = date(2026, 1, 1)
ENTITIES = {
    "product": {"key": ["id"], "mode": "snapshot", "history": True},
    "sale": {"key": ["id"], "mode": "upsert"},
    "customer": {"key": ["id"], "mode": "upsert", "delete": "op = 'D'", "order": ["seq"]},
}
Row = dict[str, Any]
Rows = dict[int, Row]


@dataclass
class Night:
    """What one night brought, and what of it may be loaded."""

    day: date
    product: Rows
    sale: Rows
    customer: list[Row]


@dataclass
class Model:
    """What the targets hold."""

    product: Rows = field(default_factory=dict)
    sale: Rows = field(default_factory=dict)
    customer: Rows = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)  # products that were there
    orders: dict[int, int] = field(default_factory=dict)  # of each customer ever seen, also of those deleted
    waiting: list[Night] = field(default_factory=list)  # not yet loaded, oldest first

    def load(self, without: str = "") -> None:
        """All that waits comes in: of a snapshot the newest date, of the others each; not tonight's of one entity."""
        for night in self.waiting:
            refused = without if night is self.waiting[-1] else ""
            if refused != "product" and night is self.waiting[-1]:
                self.gone = (self.gone | self.product.keys()) - night.product.keys()
                self.product = dict(night.product)
            if refused != "sale":
                self.sale |= night.sale
            self.change(night.customer)
        self.waiting = [night for night in self.waiting[-1:] if without == "sale"]
        for night in self.waiting:  # its sales are brought again, the others are in
            night.product, night.customer = self.product, []

    def change(self, changes: list[Row]) -> None:
        """The change with the highest `seq` of a key counts, whenever it comes."""
        for change in sorted(changes, key=lambda change: change["seq"]):
            key = change["id"]
            if change["seq"] > self.orders.get(key, -1):
                self.orders[key] = change["seq"]
                self.customer.pop(key, None)
                if change["op"] != "D":
                    self.customer[key] = change


class Nights:
    """The producer: a lake, and what is true at its side."""

    def __init__(self, lake: Lake, folder: Path, seed: int) -> None:
        self.lake, self.folder = lake, folder
        self.keeps_gone = seed % 2 == 0
        self.draw = random.Random(seed)
        self.model = Model()
        self.day = FIRST - timedelta(days=1)
        self.title = "title"  # what the source calls the column
        self.price = pa.int32()
        self.products: Rows = {}
        self.seq = 0
        self.late: list[tuple[date, list[Row]]] = []  # changes that were held back
        self.mends: list[tuple[date, Rows]] = []  # sales that have to be written again
        self.configure()

    def configure(self) -> None:
        """Write the configuration: the source's name of a column is known to it."""
        entities = {name: settings | {"search": False, "embed": False} for name, settings in ENTITIES.items()}
        if self.keeps_gone:
            entities["product"]["soft_delete"] = "deleted_at"
        if self.title != "title":
            entities["product"]["rename"] = {self.title: "title"}
        settings = {"source": {"url": self.lake.url, "lookback": 3}, "entity": entities}
        (self.folder / "pgpipe.json").write_text(json.dumps(settings), encoding="utf-8")

    def mend(self) -> None:
        """Write again what was wrong, and what was held back."""
        for day, rows in self.mends:
            self.put(day, "sale", list(rows.values()))
        for day, changes in self.late:
            self.put(day, "customer", changes, "part-1.parquet")
            self.model.waiting.insert(0, Night(day, self.model.product, {}, changes))
        self.mends, self.late = [], []

    def produce(self) -> Night:
        """Write one more date, and mend what was wrong with earlier ones."""
        self.mend()
        self.day += timedelta(days=1)
        self._edit_products()
        night = Night(self.day, dict(self.products), self._sales(), self._changes())
        self.put_products(night.product)
        self.put(night.day, "sale", list(night.sale.values()))
        self.put(night.day, "customer", night.customer)
        self.model.waiting.append(night)
        return night

    def put_products(self, rows: Rows) -> None:
        """Tonight's snapshot, under the source's names and types."""
        schema = pa.schema([("id", pa.int32()), ("title", pa.string()), ("price", self.price)])
        table = pa.Table.from_pylist(list(rows.values()), schema)
        self.lake.put(self.day.isoformat(), "product", table.rename_columns(["id", self.title, "price"]))

    def put(self, day: date, entity: str, rows: list[Row], name: str = "part-0.parquet") -> Path:
        """One file of a date."""
        return self.lake.put(day.isoformat(), entity, rows, name)

    @contextmanager
    def stray(self, day: date, entity: str, rows: list[Row]) -> Iterator[None]:
        """A file that came late, and is taken away again."""
        file = self.put(day, entity, rows, "part-9.parquet")
        yield
        file.unlink()

    def _edit_products(self) -> None:
        for key in self.draw.sample(sorted(self.products), len(self.products) // 20):
            del self.products[key]
        for key in self.draw.sample(sorted(self.products), len(self.products) // 5):
            self.products[key] = self._product(key)
        for _ in range(self.draw.randint(3, 9) if self.products else 150):
            key = self.draw.randrange(500)
            self.products[key] = self._product(key)

    def _product(self, key: int) -> Row:
        limit = 1000 if self.price == pa.int32() else 1 << 40
        return {"id": key, "title": f"title {self.draw.randrange(50)}", "price": self.draw.randrange(limit)}

    def _sales(self) -> Rows:
        keys = self.draw.sample(range(200), self.draw.randint(5, 20))
        return {key: {"id": key, "amount": self.draw.randrange(1000)} for key in keys}

    def _changes(self) -> list[Row]:
        changes = []
        for _ in range(self.draw.randint(5, 25)):
            self.seq += 1
            op = self.draw.choice("IUUD")
            changes.append({"id": self.draw.randrange(30), "name": f"name {self.seq}", "op": op, "seq": self.seq})
        self.draw.shuffle(changes)
        return changes
