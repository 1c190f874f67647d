"""A queue that a thread of its own fills: what is read while what was read before is sent."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Condition, Thread
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class _End:
    error: BaseException | None


class _Ahead(Generic[T]):
    def __init__(self, items: Iterable[T], depth: int, most: int, size: Callable[[T], int]) -> None:
        self._items, self._depth, self._most, self._size = items, depth, most, size
        self._made: deque[T | _End] = deque()
        self._bytes = 0
        self._stopped = False
        self._change = Condition()
        self._thread = Thread(target=self._make, name="read", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[T]:
        while not isinstance(item := self._take(), _End):
            yield item
        if item.error:
            raise item.error

    def close(self) -> None:
        """End the thread; what it has made is dropped."""
        with self._change:
            self._stopped = True
            self._change.notify_all()
        self._thread.join()

    def _take(self) -> "T | _End":
        with self._change:
            self._change.wait_for(lambda: self._made)
            item = self._made.popleft()
            self._bytes -= 0 if isinstance(item, _End) else self._size(item)
            self._change.notify_all()
            return item

    def _make(self) -> None:
        end = _End(None)
        try:
            for item in self._items:
                with self._change:
                    self._made.append(item)
                    self._bytes += self._size(item)
                    self._change.notify_all()
                    # The next is not even begun before there is room for it.
                    self._change.wait_for(self._has_room)
                    if self._stopped:
                        return
        except BaseException as exc:  # noqa: BLE001 - raised again where the item was asked for
            end = _End(exc)
        with self._change:
            self._made.append(end)
            self._change.notify_all()

    def _has_room(self) -> bool:
        return self._stopped or (len(self._made) < self._depth and self._bytes < self._most)


@contextmanager
def ahead(items: Iterable[T], depth: int, most: int, size: Callable[[T], int]) -> Iterator[Iterable[T]]:
    """The same items, made by a thread of their own before they are asked for.

    Args:
        items: what is to be made.
        depth: so many at most are ready.
        most: another is made only while those that are ready have fewer bytes.
        size: the bytes of an item.
    """
    made = _Ahead(items, depth, most, size)
    try:
        yield made
    finally:
        made.close()
