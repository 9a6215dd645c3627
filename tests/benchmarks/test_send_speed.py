"""The time that a send blocks the event loop, by the length of the thread. Run alone.

The reference is the same send in a thread of 10 messages. A periodic task measures the longest
block of the event loop; `CPU` is the CPU time of this thread in that block, without the time in
which other processes used the core.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from koel_tui.agents import LocalAgent
from koel_tui.engine import Engine, EngineHost, ModelSpec
from koel_tui.protocol import ChatState, TurnSettings
from koel_tui.session import KoelClient, keep_usage
from koel_tui.storage import JsonFileStorage
from koel_tui.system.memory_tuning import GcControl
from tests.benchmarks.report import line, median
from tests.benchmarks.ui.answers import history
from tests.ui.window import Window, opened

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(1800)]
COUNTS = (10, 100, 1_000, 10_000)
ROUNDS = 5
BEAT = 0.001
SETTINGS = TurnSettings(max_output_tokens=4)
SENDS = ("first send after the load", "second send")


@dataclass
class Block:
    """The longest block of the event loop, in seconds: its wall time and its CPU time."""

    wall: float = 0.0
    cpu: float = 0.0


@asynccontextmanager
async def longest_block() -> AsyncIterator[Block]:
    """Measure the longest block of the event loop while the context manager is active."""
    longest = Block()

    async def beat() -> None:
        while True:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(BEAT)
            longest.wall = max(longest.wall, time.perf_counter() - wall - BEAT)
            longest.cpu = max(longest.cpu, time.thread_time() - cpu)

    task = asyncio.create_task(beat())
    await asyncio.sleep(BEAT)
    try:
        yield longest
        await asyncio.sleep(BEAT)
    finally:
        task.cancel()


@contextmanager
def collections_of_the_window() -> Iterator[None]:
    """Schedule full garbage collections as the window does."""
    control = GcControl()
    control.start()
    try:
        yield
    finally:
        control.stop()


def thread(count: int) -> ChatState:
    """Return a thread of `count` messages of 0.5 kB on average."""
    longer = (replace(each, content=each.content * 4) for each in history(count).messages)
    return ChatState(messages=tuple(longer))


def report(what: str, blocks: dict[tuple[int, str], list[Block]]) -> None:
    print()
    few = COUNTS[0]
    for count in COUNTS:
        for send in SENDS:
            for name, field in (("", "wall"), (" (CPU)", "cpu")):
                ours, reference = (
                    median([getattr(block, field) * 1000 for block in blocks[number, send]])
                    for number in (count, few)
                )
                title = f"{what}: longest block of the event loop, {count} messages, {send}{name}"
                print(line(title, ours, reference, "ms", f"{few} messages", "20 ms"))


async def test_a_send_of_a_session_with_the_runner(starter_path: Path, tmp_path: Path) -> None:
    async def load(progress: Callable[[float], None]) -> Engine:
        spec = ModelSpec(starter_path, context_tokens=512)
        return await EngineHost.load(spec, on_progress=progress)

    agent = LocalAgent(load, SETTINGS, gap_s=0.04)
    await agent.load()
    blocks: dict[tuple[int, str], list[Block]] = {}
    with collections_of_the_window():
        for number in range(ROUNDS):
            for count in COUNTS:
                storage = JsonFileStorage(tmp_path / f"{number}-{count}")
                await storage.save("t", thread(count))
                saved = await storage.load("t")
                client = KoelClient(agent, storage, reducers=[keep_usage])
                session = client.new_session("t", saved)
                for send in SENDS:
                    async with longest_block() as block:
                        await session.send("And what else is there?")
                    assert session.state.error is None
                    blocks.setdefault((count, send), []).append(block)
                await client.dispose()
    await agent.close()
    report("session and runner", blocks)


async def block_of_a_send(window: Window) -> Block:
    """Ask and answer in the window; return the longest block of the event loop meanwhile."""
    async with longest_block() as block:
        turn = await window.ask("And what else is there?")
        turn.write("The tide turns.")
        turn.finish()
        await window.until(lambda: not window.app._workspace.active.is_busy)
        await window.pilot.pause()
    return block


async def test_a_send_in_the_window(tmp_path: Path) -> None:
    blocks: dict[tuple[int, str], list[Block]] = {}
    for number in range(ROUNDS):
        for count in COUNTS:
            storage = JsonFileStorage(tmp_path / f"{number}-{count}")
            await storage.save("long", thread(count))
            async with opened(storage=storage, thread="long") as window:
                await window.until(lambda: bool(window.shown))
                await window.pilot.pause()
                for send in SENDS:
                    blocks.setdefault((count, send), []).append(await block_of_a_send(window))
    report("window", blocks)
