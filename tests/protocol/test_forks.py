import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import (
    ChatState,
    Fork,
    Message,
    ProtocolError,
    RunPhase,
    decode_state,
    echo_shown,
    encode_state,
    fork_off,
    forks_shown,
    switch,
)


def thread(ids: str) -> ChatState:
    return ChatState(messages=tuple(map(message, ids)))


def message(message_id: str) -> Message:
    return Message(message_id, "user", message_id)


def shown(state: ChatState) -> str:
    return "".join(message.id for message in state.messages)


def grown(state: ChatState, ids: str) -> ChatState:
    return replace(state, messages=(*state.messages, *map(message, ids)))


def test_replaced_messages_become_a_branch_next_to_the_new_one() -> None:
    state = grown(fork_off(thread("abcd"), 2), "XY")
    assert shown(state) == "abXY"
    assert state.forks == (Fork("b", ((message("c"), message("d")), ()), 1),)
    assert shown(switch(state, "b", -1)) == "abcd"
    assert switch(switch(state, "b", -1), "b") == state


def test_a_third_branch_comes_last_and_switching_wraps_around() -> None:
    state = grown(fork_off(grown(fork_off(thread("a1"), 1), "2"), 1), "3")
    rounds = [shown(state)]
    for _ in range(3):
        state = switch(state, "a")
        rounds.append(shown(state))
    assert rounds == ["a3", "a1", "a2", "a3"]


def test_a_thread_forks_at_its_first_message_too() -> None:
    state = grown(fork_off(thread("ab"), 0), "X")
    assert shown(switch(state, None)) == "ab"


def test_a_fork_within_a_branch_is_there_again_with_it() -> None:
    state = grown(fork_off(thread("abc"), 2), "X")  # abX, of b: c
    state = grown(fork_off(state, 1), "Y")  # aY, of a: bX
    assert set(forks_shown(state)) == {"a"}
    state = switch(state, "a")
    assert shown(state) == "abX"
    assert set(forks_shown(state)) == {"a", "b"}
    assert shown(switch(state, "b")) == "abc"


def test_an_empty_branch_is_removed_when_the_user_switches_away() -> None:
    begun = fork_off(thread("abc"), 2)
    assert shown(begun) == "ab"
    assert fork_off(begun, 2) == begun
    assert switch(begun, "b") == thread("abc")


def test_switching_without_branches_changes_nothing() -> None:
    state = grown(fork_off(thread("ab"), 1), "X")
    assert switch(state, "X") is state
    assert switch(state, None) is state
    assert switch(state, "a", 2) is state  # a full cycle of the two branches
    assert fork_off(state, 2) is state
    gone = replace(state, messages=())
    assert switch(gone, "a") is gone


steps = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.just(0)),
        st.tuples(st.just("fork"), st.integers(0, 6)),
        st.tuples(st.just("switch"), st.integers(0, 6)),
    ),
    max_size=30,
)


@given(steps)
def test_random_forks_neither_lose_nor_duplicate_a_message(walk: list[tuple[str, int]]) -> None:
    state, count = ChatState(), 0
    for what, place in walk:
        if what == "say":
            state, count = grown(state, chr(0x100 + count)), count + 1
        elif what == "fork":
            state = fork_off(state, min(place, len(state.messages)))
        else:
            places = list(forks_shown(state))
            if places:
                after = places[place % len(places)]
                assert shown(switch(switch(state, after, 1), after, -1)) == shown(state) or (
                    not state.messages or state.messages[-1].id == after  # an empty one is removed
                )
                state = switch(state, after)
        kept = [*shown(state), *(m.id for f in state.forks for b in f.branches for m in b)]
        assert sorted(kept) == [chr(0x100 + n) for n in range(count)]
        assert decode_state(json.loads(encode_state(state))) == state


SHOWN = "the branch shown is not among those of its fork"


@pytest.mark.parametrize(
    ("fork", "why"),
    [
        (5, "a fork is not an object"),
        ({"branches": []}, SHOWN),
        ({"branches": [5], "shown": 0}, "a branch is not a list"),
        ({"branches": [[]], "shown": 1}, SHOWN),
        ({"branches": [[]], "shown": -1}, SHOWN),
        ({"branches": [[{"id": "a", "role": "user"}], []], "shown": True}, SHOWN),
        ({"branches": [[{"id": "a", "role": "user"}], []], "shown": 0}, SHOWN),
        ({"after": 5, "branches": [[]]}, "after is not of type str"),
    ],
)
def test_an_invalid_fork_is_not_a_saved_conversation(fork: object, why: str) -> None:
    with pytest.raises(ProtocolError) as raised:
        decode_state({"forks": [fork]})
    assert raised.value.message == f"This is not a saved conversation: {why}."


def test_an_empty_message_does_not_become_a_branch() -> None:
    state = replace(thread("ab"), messages=(*thread("ab").messages, Message("c", "assistant")))
    assert fork_off(state, 2) == thread("ab")


def test_encrypted_reasoning_stays_with_its_branch_and_is_not_sent_with_another() -> None:
    state = replace(thread("abc"), reasoning_echo={"c": b"1", "a": b"2"})
    state = grown(fork_off(state, 2), "X")
    assert state.reasoning_echo == {"c": b"1", "a": b"2"}
    assert echo_shown(state) == {"a": b"2"}
    assert echo_shown(switch(state, "b")) == {"c": b"1", "a": b"2"}


def test_two_forks_at_the_same_position_are_refused() -> None:
    fork = {"after": "a", "shown": 0, "branches": [[], []]}
    with pytest.raises(ProtocolError, match=r"conversation: two forks follow the same message\."):
        decode_state({"forks": [fork, fork]})


def test_b22_unknown_keys_of_a_fork_are_kept_when_it_grows_and_is_switched() -> None:
    wire = {
        "messages": [{"id": "u", "role": "user"}, {"id": "a", "role": "assistant", "content": "x"}],
        "forks": [
            {
                "after": "u",
                "shown": 0,
                "branches": [[], [{"id": "b", "role": "assistant", "content": "y"}]],
                "label": {"colour": "red"},
            }
        ],
    }
    state = decode_state(wire)
    for changed in (state, fork_off(state, 1), switch(state, "u")):
        (fork,) = json.loads(encode_state(changed))["forks"]
        assert fork["label"] == {"colour": "red"}


def test_a_branch_that_is_switched_to_has_not_failed() -> None:
    said = (Message("u", "user", "?"), Message("a", "assistant", "x"))
    failed = replace(fork_off(ChatState(messages=said), 1), phase=RunPhase.ERROR)
    assert switch(failed, "u").phase is RunPhase.IDLE
