"""A program that repeats an action and prints the growth of its memory in bytes.

It is a separate process, so that only this action affects the figure.
"""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from koel_tui.engine import ChatMessage, Engine, ModelSpec


async def growth(step: Callable[[int], Awaitable[None]], *, first: int, then: int) -> int:
    """Return the bytes that `then` rounds add to the memory after the `first` rounds."""
    process = psutil.Process()
    for number in range(first):
        await step(number)
    gc.collect()
    before = process.memory_info().rss
    for number in range(then):
        await step(number)
    gc.collect()
    return int(process.memory_info().rss - before)


async def sessions(spec: ModelSpec) -> int:
    """Open and close sessions; every tenth session answers once."""
    engine = await Engine.load(spec, max_sessions=None)

    async def step(number: int) -> None:
        session = await engine.open_session(f"{number}", max_output_tokens=2)
        if number % 10 == 0:
            session.add(ChatMessage("user", f"Say {number}."))
            await session.respond()
        await session.close()

    grown = await growth(step, first=20, then=100)
    await engine.close()
    return grown


async def loads(spec: ModelSpec) -> int:
    """Load the model, answer once and close the engine."""

    async def step(_number: int) -> None:
        engine = await Engine.load(spec)
        session = await engine.open_session(max_output_tokens=2)
        session.add(ChatMessage("user", "Hello."))
        await session.respond()
        await engine.close()

    return await growth(step, first=2, then=3)


if __name__ == "__main__":
    what = {"sessions": sessions, "loads": loads}[sys.argv[1]]
    print(
        asyncio.run(what(ModelSpec(Path(sys.argv[2]), context_tokens=512, mmap=False, threads=1)))
    )
