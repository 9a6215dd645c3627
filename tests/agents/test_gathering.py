"""Text that comes fast travels together, and none of it is lost or kept back for long."""

from collections.abc import AsyncIterator, Iterable, Sequence
from itertools import pairwise

import pytest
from ag_ui.core import TextMessageContentEvent
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.agents import tokens_of
from koel_tui.agents.gathering import gathered
from koel_tui.engine import Delta, EngineCrashedError, TextDelta, ThinkingDelta, ToolCallDelta

GAP = 0.04
CALL = ToolCallDelta("c", "look", "{}")
DELTAS = st.sampled_from([TextDelta("a"), TextDelta("bc"), ThinkingDelta("t"), CALL])


class Coming:
    """Deltas at their moments, and a clock that shows which moment it is."""

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

    async def gathered(self, gap_s: float = GAP) -> list[tuple[float, Delta, int]]:
        return [
            (self.now, delta, count)
            async for delta, count in gathered(self.deltas(), gap_s, lambda: self.now)
        ]


async def test_text_within_the_gap_is_one_delta() -> None:
    coming = Coming([(n / 100, TextDelta(str(n))) for n in range(10)])
    assert [(delta, count) for _, delta, count in await coming.gathered()] == [
        (TextDelta("0"), 1), (TextDelta("1234"), 4), (TextDelta("5678"), 4), (TextDelta("9"), 1),
    ]  # fmt: skip


async def test_without_a_gap_all_is_as_it_came() -> None:
    deltas: list[Delta] = [TextDelta("a"), TextDelta("b"), CALL]
    coming = Coming([(0.0, delta) for delta in deltas])
    assert [(delta, count) for _, delta, count in await coming.gathered(0)] == [
        (delta, 1) for delta in deltas
    ]


async def test_what_came_before_an_error_is_told_first() -> None:
    coming = Coming([(0.0, TextDelta("a")), (0.01, TextDelta("b"))], EngineCrashedError("gone"))
    seen = []
    with pytest.raises(EngineCrashedError):
        async for delta, _ in gathered(coming.deltas(), GAP, lambda: coming.now):
            seen.append(delta)
    assert seen == [TextDelta("a"), TextDelta("b")]


@given(st.lists(st.tuples(st.floats(0, 0.1), DELTAS)))
async def test_nothing_is_lost_moved_or_late(steps: list[tuple[float, Delta]]) -> None:
    now, timed = 0.0, []
    for step, delta in steps:
        now += step
        timed.append((now, delta))
    told = await Coming(timed).gathered()
    assert spelled(delta for _, delta, _ in told) == spelled(delta for _, delta in timed)
    assert sum(count for _, _, count in told) == len(timed)
    # Whatever is told late was told with the very next delta that came after the gap was over.
    for (before, *_), (after, *_) in pairwise(told):
        assert all(moment >= after for moment, _ in timed if moment - before >= GAP)


def spelled(deltas: Iterable[Delta]) -> list[tuple[str, str]]:
    """Return what deltas say, letter by letter."""
    letters: list[tuple[str, str]] = []
    for delta in deltas:
        text = delta.text if isinstance(delta, TextDelta | ThinkingDelta) else "!"
        letters += [(type(delta).__name__, letter) for letter in text]
    return letters


@pytest.mark.parametrize(
    ("raw", "tokens"), [({"tokens": 4}, 4), ({"tokens": "x"}, 1), ({"tokens": 0}, 1), (None, 1)]
)
def test_an_event_tells_of_how_many_tokens_it_is_made(raw: object, tokens: int) -> None:
    event = TextMessageContentEvent(message_id="m", delta="text", raw_event=raw)
    assert tokens_of(event) == tokens
