"""The event queue of a turn that is not read: no event is lost, and memory is bounded."""

import asyncio

from koel_tui.engine import Finished, Progress, TextDelta, ThinkingDelta, ToolCallDelta
from koel_tui.engine.turn_inbox import MAX_UNREAD, TurnInbox
from koel_tui.engine.wire_messages import (
    HiddenThinking,
    PrefillProgress,
    Text,
    Thinking,
    ToolCalled,
)
from tests.engine.scripted import QUESTION, collect, scripted_engine, until

PIECES = 20 * MAX_UNREAD
CALL = ToolCallDelta("c", "find", "{}")


def fill(inbox: TurnInbox) -> None:
    for number in range(MAX_UNREAD):
        inbox.put(Text(1, f"{number} "))


async def test_a_reader_in_time_gets_each_event() -> None:
    inbox = TurnInbox()
    reading = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put(Text(1, "a"))
    inbox.put(Text(1, "b"))
    assert await reading == Text(1, "a")
    assert await inbox.get() == Text(1, "b")


async def test_text_is_joined_in_order_and_progress_is_dropped() -> None:
    inbox = TurnInbox()
    fill(inbox)
    for event in (
        Text(1, "x"),
        PrefillProgress(1, 1, 2),
        Text(1, "y"),
        HiddenThinking(1, 5),
        Progress("queued", position=1),
        Thinking(1, "hm"),
        Thinking(1, " hm"),
        ToolCalled(1, CALL),
        Text(1, "z"),
    ):
        inbox.put(event)
    events = [await inbox.get() for _ in range(len(inbox))]
    assert events[MAX_UNREAD - 1 :] == [
        Text(1, f"{MAX_UNREAD - 1} xy"),
        Thinking(1, "hm hm"),
        ToolCalled(1, CALL),
        Text(1, "z"),
    ]


async def test_b32_a_turn_that_is_not_read_takes_the_memory_of_its_answer_only() -> None:
    engine, link = await scripted_engine()
    slow, other = [await engine.open_session() for _ in range(2)]
    stream = slow.stream(QUESTION)
    first = asyncio.ensure_future(anext(stream))
    await until(lambda: link.started)
    turn = slow._turn
    assert turn is not None
    link.think(slow.number, "hm ")
    assert await first == ThinkingDelta("hm ")
    link.say(slow.number, *(f"{number} " for number in range(PIECES)))
    link.end(slow.number)
    await until(lambda: not link.pending)
    assert len(turn._inbox) <= MAX_UNREAD + 1
    # The other turn does not wait for the reader of the first one.
    answer = asyncio.ensure_future(collect(other.stream(QUESTION)))
    await until(lambda: other.number in link.turns)
    link.end(other.number)
    await answer
    *texts, last = await collect(stream)
    assert "".join(each.text for each in texts if isinstance(each, TextDelta)) == "".join(
        f"{number} " for number in range(PIECES)
    )
    assert isinstance(last, Finished) and last.reason == "end"
    await engine.close()
