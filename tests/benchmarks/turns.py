"""Helpers that run turns and measure their speed."""

from koel_tui.engine import (
    ChatMessage,
    EngineSession,
    Finished,
    Sampling,
    SessionMetrics,
    TurnSettings,
)

ROUNDS = 5
"""The number of interleaved turns for a median, after one warm-up turn."""
GREEDY = Sampling(temperature=0)
DRAWN = Sampling(seed=1)


async def measured(session: EngineSession, text: str, settings: TurnSettings) -> SessionMetrics:
    """Return the metrics of a turn whose prompt is `text`."""
    async for delta in session.stream([ChatMessage("user", text)], settings):
        if isinstance(delta, Finished):
            return delta.metrics
    raise AssertionError("the turn has no end")
