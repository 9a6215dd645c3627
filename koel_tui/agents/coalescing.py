"""Coalescing of fast deltas, because every event wakes the whole pipeline up to the screen."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from time import monotonic

from koel_tui.engine import Delta, EngineError, TextDelta, ThinkingDelta


async def coalesce_deltas(
    deltas: AsyncIterator[Delta], gap_s: float, clock: Callable[[], float] = monotonic
) -> AsyncGenerator[tuple[Delta, int], None]:
    """Yield deltas, each with the number of deltas it consists of.

    Text that arrives less than `gap_s` seconds after the last yield waits for the next delta of any
    kind, but at most until `gap_s` is over: a tool call is one delta that takes seconds to
    generate. Text that arrived before an error is yielded before the error is raised.
    """
    buffered: TextDelta | ThinkingDelta | None = None
    count, yielded_at = 0, float("-inf")
    pending: asyncio.Future[Delta] | None = None
    try:
        while True:
            if buffered is None:
                delta = await anext(deltas)
            else:
                pending = asyncio.ensure_future(anext(deltas))
                await asyncio.wait([pending], timeout=gap_s - (clock() - yielded_at))
                if not pending.done():
                    yield buffered, count
                    buffered, count, yielded_at = None, 0, clock()
                delta = await pending
            if buffered is not None and type(delta) is not type(buffered):
                yield buffered, count
                buffered, count = None, 0
            if not isinstance(delta, TextDelta | ThinkingDelta):
                yield delta, 1
                continue
            buffered = delta if buffered is None else type(delta)(buffered.text + delta.text)
            count += 1
            if clock() - yielded_at >= gap_s:
                yield buffered, count
                buffered, count, yielded_at = None, 0, clock()
    except (StopAsyncIteration, EngineError) as end:
        if buffered is not None:
            yield buffered, count
        if isinstance(end, EngineError):
            raise
    finally:
        if pending is not None and not pending.done():  # the consumer has stopped
            pending.cancel()
            await asyncio.wait([pending])
