"""Pieces of an answer that come fast travel together: each one wakes all there is up to the eye."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from time import monotonic

from koel_tui.engine import Delta, EngineError, TextDelta, ThinkingDelta


async def gathered(
    deltas: AsyncIterator[Delta], gap_s: float, clock: Callable[[], float] = monotonic
) -> AsyncGenerator[tuple[Delta, int], None]:
    """Yield deltas, each with the number of those it is made of.

    Text that comes less than `gap_s` seconds after what was yielded last waits for the next delta,
    whatever that is, but not longer than until those seconds are over: a tool call is one delta
    that takes seconds to write. What came before an error is yielded before it is raised.
    """
    held: TextDelta | ThinkingDelta | None = None
    count, yielded_at = 0, float("-inf")
    coming: asyncio.Future[Delta] | None = None
    try:
        while True:
            if held is None:
                delta = await anext(deltas)
            else:
                coming = asyncio.ensure_future(anext(deltas))
                await asyncio.wait([coming], timeout=gap_s - (clock() - yielded_at))
                if not coming.done():
                    yield held, count
                    held, count, yielded_at = None, 0, clock()
                delta = await coming
            if held is not None and type(delta) is not type(held):
                yield held, count
                held, count = None, 0
            if not isinstance(delta, TextDelta | ThinkingDelta):
                yield delta, 1
                continue
            held = delta if held is None else type(delta)(held.text + delta.text)
            count += 1
            if clock() - yielded_at >= gap_s:
                yield held, count
                held, count, yielded_at = None, 0, clock()
    except (StopAsyncIteration, EngineError) as end:
        if held is not None:
            yield held, count
        if isinstance(end, EngineError):
            raise
    finally:
        if coming is not None and not coming.done():  # the reader has left
            coming.cancel()
            await asyncio.wait([coming])
