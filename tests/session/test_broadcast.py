import asyncio
import gc
import weakref

import pytest

from koel_tui.session.broadcast import Broadcast
from tests.session.helpers import collected


async def test_every_reader_gets_all_items_published_after_it_starts() -> None:
    broadcast = Broadcast[int]()
    early = broadcast.reader()
    broadcast.publish(1)
    late = broadcast.reader()
    broadcast.publish(2)
    broadcast.end()
    assert await collected(early) == [1, 2]
    assert await collected(late) == [2]


async def test_a_reader_with_a_limit_skips_to_the_newest_item() -> None:
    broadcast = Broadcast[int](size=1)
    reader = broadcast.reader()
    for item in range(5):
        broadcast.publish(item)
    assert await anext(reader) == 4


async def test_a_waiting_reader_wakes_and_ends() -> None:
    broadcast = Broadcast[int]()
    reading = asyncio.create_task(collected(broadcast.reader()))
    await asyncio.sleep(0)
    broadcast.publish(1)
    await asyncio.sleep(0)
    broadcast.publish(2)
    broadcast.end()
    assert await reading == [1, 2]


async def test_an_ended_reader_stays_ended() -> None:
    broadcast = Broadcast[int]()
    reader = broadcast.reader()
    broadcast.end()
    for _ in range(2):
        with pytest.raises(StopAsyncIteration):
            await anext(reader)


async def test_a_dropped_reader_is_forgotten() -> None:
    broadcast = Broadcast[int]()
    reader = broadcast.reader()
    gone = weakref.ref(reader)
    del reader
    gc.collect()
    broadcast.publish(1)
    assert gone() is None
