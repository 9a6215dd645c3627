"""Turns whose speed is measured."""

from koel_tui.engine import (
    ChatMessage,
    EngineSession,
    Finished,
    Sampling,
    SessionMetrics,
    TurnSettings,
)

ROUNDS = 5
"""Interleaved turns of which the median counts, after one to warm up."""
GREEDY = Sampling(temperature=0)
DRAWN = Sampling(seed=1)


async def measured(session: EngineSession, text: str, settings: TurnSettings) -> SessionMetrics:
    """Return the metrics of a turn whose prompt is `text`."""
    async for delta in session.stream([ChatMessage("user", text)], settings):
        if isinstance(delta, Finished):
            return delta.metrics
    raise AssertionError("the turn has no end")
