"""Broadcasts without replay: a reader receives the items published after its creation."""

import asyncio
import weakref
from collections import deque
from collections.abc import AsyncIterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Reader(AsyncIterator[T], Generic[T]):
    """One reader of a broadcast; it stops after the broadcast ended and its queue is empty."""

    def __init__(self, size: int | None) -> None:
        self._items: deque[T] = deque(maxlen=size)
        self._ready = asyncio.Event()
        self._ended = False

    def push(self, item: T) -> None:
        """Add `item` to the reader's queue; never waits."""
        self._items.append(item)
        self._ready.set()

    def end(self) -> None:
        """Let the reader stop after the items in its queue."""
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
    """Publishes items to readers, which it references weakly.

    `size` is the maximum length of a reader's queue; beyond it, the oldest items are dropped. None
    drops nothing.
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
        """Add `item` to the queue of every reader."""
        for reader in self._readers:
            reader.push(item)

    def end(self) -> None:
        """End every reader."""
        for reader in self._readers:
            reader.end()
