"""The history of an engine session, and the part that is sent to the worker."""

import asyncio

import pytest

from koel_tui.engine import ChatMessage, ToolCallDelta
from koel_tui.engine.history import MAX_CHARACTERS_PER_TOKEN, History, RecentMessages
from koel_tui.engine.wire_messages import StartTurn, command_codec
from tests.engine.scripted import collect, scripted_engine, until

CONTEXT = 4
LIMIT = CONTEXT * MAX_CHARACTERS_PER_TOKEN
SYSTEM = ChatMessage("system", "be brief")


def turn(number: int, size: int = LIMIT // 4) -> list[ChatMessage]:
    """Return a question and its answer, with `size` characters in total."""
    question = f"question {number} "
    answer = "ü" * (size - len(question))
    return [ChatMessage("user", question), ChatMessage("assistant", answer)]


def test_a_history_that_may_fit_is_sent_whole() -> None:
    messages = [SYSTEM, *turn(1), *turn(2)]
    assert History(messages).recent(CONTEXT) == RecentMessages(tuple(messages))
    assert History().recent(CONTEXT) == RecentMessages(())
    assert History([SYSTEM]).recent(1) == RecentMessages((SYSTEM,))


def test_the_oldest_turns_are_left_out_and_counted() -> None:
    turns = [turn(number) for number in range(20)]
    messages = [SYSTEM, *(each for pair in turns for each in pair)]
    recent = History(messages).recent(CONTEXT)
    kept = recent.messages[1:]
    assert recent.messages[0] == SYSTEM
    assert kept == tuple(messages[len(messages) - len(kept) :])
    assert kept[0].role == "user"
    assert sum(len(each.content) for each in kept) > LIMIT
    assert recent.omitted_turns == 20 - len(kept) // 2
    omitted = messages[1 : len(messages) - len(kept)]
    assert recent.omitted_size == sum(len(each.content) for each in omitted)


def test_a_turn_stays_whole() -> None:
    call = ToolCallDelta("c", "find", "{}")
    long_turn = [
        ChatMessage("user", "look"),
        *(ChatMessage("assistant", "", tool_calls=(call,)), ChatMessage("tool", "x" * LIMIT)) * 3,
        ChatMessage("assistant", "found"),
    ]
    history = History([*turn(1), *turn(2), *long_turn])
    assert history.recent(CONTEXT) == RecentMessages(tuple(long_turn), 2, LIMIT // 4 * 2)


def test_messages_before_the_first_question_are_a_turn() -> None:
    greeting = ChatMessage("assistant", "x" * LIMIT)
    history = History([SYSTEM, greeting, *turn(1, LIMIT), *turn(2, 2 * LIMIT)])
    recent = history.recent(CONTEXT)
    assert (recent.omitted_turns, recent.omitted_size) == (2, 2 * LIMIT)


@pytest.mark.parametrize("kept", [0, 1, 5, 8])
def test_a_replaced_history_equals_a_new_one(kept: int) -> None:
    old = [each for number in range(4) for each in turn(number)]
    new = [*old[:kept], *(each for number in range(5, 15) for each in turn(number))]
    history = History(old)
    history.replace(new)
    assert history.messages == tuple(new)
    assert history.recent(CONTEXT) == History(new).recent(CONTEXT)
    assert history.pop() == new[-1]
    assert history.recent(CONTEXT) == History(new[:-1]).recent(CONTEXT)


async def frame_bytes(count: int) -> int:
    """Return the length of the command that starts a turn after `count` messages."""
    engine, link = await scripted_engine()
    session = await engine.open_session()
    for number in range(count // 2):
        for each in turn(number, 1000):
            session.add(each)
    session.add(ChatMessage("user", "and now?"))
    answer = asyncio.ensure_future(collect(session.stream()))
    await until(lambda: link.started)
    (started,) = [each for each in link.commands if isinstance(each, StartTurn)]
    assert started.messages[-1].content == "and now?"
    assert started.omitted_turns == (count + 1 - len(started.messages)) // 2
    assert len(session.history) == count + 1, "the history itself stays complete"
    link.end(session.number)
    await answer
    await engine.close()
    return len(command_codec().encode(started))


async def test_the_size_of_a_turn_command_depends_on_the_context_and_not_on_the_history() -> None:
    assert await frame_bytes(10_000) < 1.01 * await frame_bytes(1_000)
