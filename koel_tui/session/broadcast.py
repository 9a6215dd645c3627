"""Broadcasts without replay: every reader gets what is published after it asked."""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Reader(AsyncIterator[T], Generic[T]):
    """One reader's place in a broadcast; ends when the broadcast does, after what is left."""

    def __init__(self, size: int | None) -> None:
        self._items: deque[T] = deque(maxlen=size)
        self._ready = asyncio.Event()
        self._ended = False

    def push(self, item: T) -> None:
        """Give the reader `item`; never waits."""
        self._items.append(item)
        self._ready.set()

    def end(self) -> None:
        """Let the reader finish what it has and stop."""
        self._ended = True
        self._ready.set()

    async def __anext__(self) -> T:
        while not self._items:
            if self._ended:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        return self._items.popleft()


class Broadcast(Generic[T]):
    """Publishes to readers that come and go; a reader that is dropped is forgotten.

    `size` is how many items a slow reader may fall behind before the oldest are skipped; None
    skips nothing.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = size
        self._readers: weakref.WeakSet[Reader[T]] = weakref.WeakSet()

    def reader(self) -> Reader[T]:
        """Return a reader of everything published from now on."""
        reader = Reader[T](self._size)
        self._readers.add(reader)
        return reader

    def publish(self, item: T) -> None:
        """Give `item` to every reader."""
        for reader in self._readers:
            reader.push(item)

    def end(self) -> None:
        """End every reader."""
        for reader in self._readers:
            reader.end()
