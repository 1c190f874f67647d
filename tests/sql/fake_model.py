"""A small model for the tests of the worker: faults must come when a test wants them."""

import hashlib
from collections.abc import Callable

import numpy as np

from pgpipe.db import Database
from pgpipe.embed.model.base import Vectors
from pgpipe.embed.model.identity import PROBES
from pgpipe.embed.totals import Hooks
from pgpipe.embed.worker import Worker
from pgpipe.settings.model import EmbeddingSettings


class Fake:
    """A model of three dimensions whose vector is a function of the text, with faults on order."""

    name = "fake"
    dims = 3

    def __init__(
        self, fault: Callable[[list[str]], None] = lambda _: None, room: int = 1000, weights: bytes = b""
    ) -> None:
        self.fault = fault
        self.weights = weights  # other ones make other vectors
        self.room = room
        self.calls: list[list[str]] = []

    def split(self, text: str, size: int | None = None, overlap: int = 0) -> list[tuple[int, int]]:  # noqa: ARG002
        return [(start, min(start + self.room, len(text))) for start in range(0, len(text), self.room)]

    def encode(self, texts: list[str]) -> Vectors:
        if not texts or not set(texts) <= set(PROBES):  # counted, and at fault, is what reads rows
            self.calls.append(texts)
            self.fault(texts)
        raw = [np.frombuffer(hashlib.sha256(self.weights + t.encode()).digest()[:3], np.uint8) + 1.0 for t in texts]
        return np.array([v / np.linalg.norm(v) for v in raw], np.float32)


def refuse(word: str) -> Callable[[list[str]], None]:
    """The model fails on any batch that holds a text with this word."""

    def fault(texts: list[str]) -> None:
        if any(word in text for text in texts):
            raise ValueError(f"cannot read {word}")

    return fault


def make_worker(
    database: Database, model: Fake, batch: int = 256, name: str = "fake", hooks: Hooks | None = None
) -> Worker:
    return Worker(database, EmbeddingSettings(model=name, batch=batch), hooks, lambda _: model)
