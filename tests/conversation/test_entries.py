"""The entries of a long thread: entries of earlier turns are built only once."""

import random
from dataclasses import replace

import pytest

from koel_tui.conversation.branches import find_branch_points
from koel_tui.conversation.entries import Entry, EntryCache, build_entries
from koel_tui.protocol import ChatState, Fork, Message, ToolCall

LONG = 1000


def thread(count: int) -> tuple[Message, ...]:
    return tuple(
        Message(str(number), "user" if number % 2 == 0 else "assistant", f"text {number}")
        for number in range(count)
    )


def built(state: ChatState) -> list[Entry]:
    """Return the entries without a cache."""
    return list(build_entries(state.messages, branch_points=find_branch_points(state)[0]))


def test_a_message_at_the_end_leaves_the_entries_of_earlier_turns() -> None:
    cache = EntryCache()
    state = ChatState(messages=thread(LONG))
    before = cache.entries(state)
    for role in ("user", "assistant"):
        state = replace(state, messages=(*state.messages, Message(role, role, "new")))
        after = cache.entries(state)
        assert after == built(state)
        same = sum(old is new for old, new in zip(before, after, strict=False))
        assert same >= LONG - 2, "only the last turn is built again"


def test_a_fork_at_the_end_leaves_the_entries_of_earlier_turns() -> None:
    cache = EntryCache()
    state = ChatState(messages=thread(LONG))
    before = cache.entries(state)
    hidden = (Message("old", "assistant", "the other answer"),)
    fork = Fork(state.messages[-2].id, (hidden, ()), shown=1)
    state = replace(state, forks=(fork,))
    after = EntryCache.entries(cache, replace(state, messages=(*state.messages[:-1],)))
    assert sum(old is new for old, new in zip(before, after, strict=False)) >= LONG - 2
    assert cache.trailing_branch is not None
    assert cache.entries(state) == built(state)
    assert cache.entries(state)[-1].branch_point is not None


def test_unfolding_builds_everything_again() -> None:
    cache = EntryCache()
    messages = (Message("a", "assistant", "x", reasoning="hm"), *thread(4))
    state = ChatState(messages=messages)
    assert cache.entries(state)[0].text == ""
    cache.toggle_folded()
    assert cache.entries(state)[0].text == "hm"


@pytest.mark.parametrize("seed", range(300))
def test_any_changes_give_the_entries_of_a_new_cache(seed: int) -> None:
    """Messages are added, inserted and cut off, with calls, results, activity and forks."""
    choose = random.Random(seed)
    cache = EntryCache()
    state = ChatState()
    for number in range(14):
        state = replace(state, messages=changed(state.messages, number, choose))
        if state.messages and choose.random() < 0.2:
            after = choose.choice([None, *(each.id for each in state.messages)])
            fork = Fork(after, ((), (Message("hidden", "user", "x"),)))
            state = replace(state, forks=(*state.forks, fork))
        assert cache.entries(state) == built(state)


def changed(
    messages: tuple[Message, ...], number: int, choose: random.Random
) -> tuple[Message, ...]:
    """Return the messages with a random one appended or inserted, or cut off."""
    id_ = f"m{number}"
    called = f"c{choose.randrange(max(0, number - 4), number + 1)}"
    added = choose.choice(
        [
            Message(id_, "user", "question"),
            Message(id_, "assistant", "answer"),
            Message(id_, "assistant", tool_calls=(ToolCall(f"c{number}", "find"),)),
            Message(id_, "tool", f"result {number}", tool_call_id=called),
            Message(id_, "activity", "{}"),
        ]
    )
    end = len(messages)
    index = end if added.role == "tool" or choose.random() < 0.8 else choose.randrange(end + 1)
    messages = (*messages[:index], added, *messages[index:])
    return messages[: choose.randrange(len(messages) + 1)] if choose.random() < 0.1 else messages
