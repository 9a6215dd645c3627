"""Coalescing of text deltas: short gaps are merged, and no text is lost or delayed for long."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing
from itertools import pairwise

import pytest
from ag_ui.core import TextMessageContentEvent
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.agents import tokens_of
from koel_tui.agents.coalescing import coalesce_deltas
from koel_tui.engine import Delta, EngineCrashedError, TextDelta, ThinkingDelta, ToolCallDelta

GAP = 0.04
CALL = ToolCallDelta("c", "look", "{}")
DELTAS = st.sampled_from([TextDelta("a"), TextDelta("bc"), ThinkingDelta("t"), CALL])


class Coming:
    """A source of timed deltas, and a clock that returns the time of the current delta."""

    def __init__(self, timed: Sequence[tuple[float, Delta]], error: Exception | None = None):
        self._timed = timed
        self._error = error
        self.now = 0.0

    async def deltas(self) -> AsyncIterator[Delta]:
        for moment, delta in self._timed:
            self.now = moment
            yield delta
        if self._error is not None:
            raise self._error

    async def coalesce_deltas(self, gap_s: float = GAP) -> list[tuple[float, Delta, int]]:
        return [
            (self.now, delta, count)
            async for delta, count in coalesce_deltas(self.deltas(), gap_s, lambda: self.now)
        ]


async def test_text_within_the_gap_is_one_delta() -> None:
    coming = Coming([(n / 100, TextDelta(str(n))) for n in range(10)])
    assert [(delta, count) for _, delta, count in await coming.coalesce_deltas()] == [
        (TextDelta("0"), 1), (TextDelta("1234"), 4), (TextDelta("5678"), 4), (TextDelta("9"), 1),
    ]  # fmt: skip


async def test_b31_held_text_does_not_wait_for_a_slow_delta() -> None:
    called, reported = asyncio.Event(), asyncio.Event()
    seen: list[Delta] = []

    async def deltas() -> AsyncIterator[Delta]:
        yield TextDelta("a")
        yield TextDelta("b")
        await called.wait()
        yield CALL

    async def read() -> None:
        async for delta, _ in coalesce_deltas(deltas(), GAP):
            seen.append(delta)
            if len(seen) == 2:
                reported.set()

    reading = asyncio.create_task(read())
    async with asyncio.timeout(20):
        await reported.wait()
        called.set()
        await reading
    assert seen == [TextDelta("a"), TextDelta("b"), CALL]


@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_b31_a_reader_that_leaves_ends_the_wait_for_the_next_delta(leave: str) -> None:
    ended, reported = asyncio.Event(), asyncio.Event()

    async def deltas() -> AsyncIterator[Delta]:
        try:
            yield TextDelta("a")
            yield TextDelta("b")
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def read() -> None:
        async with aclosing(coalesce_deltas(deltas(), GAP if leave == "close" else 60)) as pieces:
            async for delta, _ in pieces:
                if leave == "cancel":
                    reported.set()
                elif delta == TextDelta("b"):
                    return

    async with asyncio.timeout(20):
        reading = asyncio.create_task(read())
        if leave == "cancel":
            await reported.wait()
            await asyncio.sleep(0)
            reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await ended.wait()


async def test_deltas_are_unchanged_without_a_gap() -> None:
    deltas: list[Delta] = [TextDelta("a"), TextDelta("b"), CALL]
    coming = Coming([(0.0, delta) for delta in deltas])
    assert [(delta, count) for _, delta, count in await coming.coalesce_deltas(0)] == [
        (delta, 1) for delta in deltas
    ]


async def test_deltas_before_an_error_are_reported_first() -> None:
    coming = Coming([(0.0, TextDelta("a")), (0.01, TextDelta("b"))], EngineCrashedError("gone"))
    seen = []
    with pytest.raises(EngineCrashedError):
        async for delta, _ in coalesce_deltas(coming.deltas(), GAP, lambda: coming.now):
            seen.append(delta)
    assert seen == [TextDelta("a"), TextDelta("b")]


@given(st.lists(st.tuples(st.floats(0, 0.1), DELTAS)))
async def test_coalescing_neither_loses_reorders_nor_delays_deltas(
    steps: list[tuple[float, Delta]],
) -> None:
    now, timed = 0.0, []
    for step, delta in steps:
        now += step
        timed.append((now, delta))
    reported = await Coming(timed).coalesce_deltas()
    assert text_controls(delta for _, delta, _ in reported) == text_controls(
        delta for _, delta in timed
    )
    assert sum(count for _, _, count in reported) == len(timed)
    # A delta is sent no later than the first delta that arrives after the end of its gap.
    for (before, *_), (after, *_) in pairwise(reported):
        assert all(moment >= after for moment, _ in timed if moment - before >= GAP)


def text_controls(deltas: Iterable[Delta]) -> list[tuple[str, str]]:
    """Return the kind and the character of each delta, one character at a time."""
    letters: list[tuple[str, str]] = []
    for delta in deltas:
        text = delta.text if isinstance(delta, TextDelta | ThinkingDelta) else "!"
        letters += [(type(delta).__name__, letter) for letter in text]
    return letters


@pytest.mark.parametrize(
    ("raw", "tokens"), [({"tokens": 4}, 4), ({"tokens": "x"}, 1), ({"tokens": 0}, 1), (None, 1)]
)
def test_an_event_reports_its_number_of_tokens(raw: object, tokens: int) -> None:
    event = TextMessageContentEvent(message_id="m", delta="text", raw_event=raw)
    assert tokens_of(event) == tokens
