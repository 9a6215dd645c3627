"""Pieces of an answer that come fast travel together: each one wakes all there is up to the eye."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from time import monotonic

from koel_tui.engine import Delta, EngineError, TextDelta, ThinkingDelta


async def gathered(
    deltas: AsyncIterator[Delta], gap_s: float, clock: Callable[[], float] = monotonic
) -> AsyncGenerator[tuple[Delta, int], None]:
    """Yield deltas, each with the number of those it is made of.

    Text that comes less than `gap_s` seconds after what was yielded last waits for the next delta,
    whatever that is; no timer runs, so it waits no longer than the model takes for a token. What
    came before an error is yielded before it is raised.
    """
    held: TextDelta | ThinkingDelta | None = None
    count, yielded_at = 0, float("-inf")
    try:
        async for delta in deltas:
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
    except EngineError:
        if held is not None:
            yield held, count
        raise
    if held is not None:
        yield held, count
