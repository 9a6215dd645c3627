import json
from dataclasses import replace

import pytest
from ag_ui import core
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.protocol import (
    ChatState,
    Message,
    ProtocolError,
    RunPhase,
    ToolCall,
    decode_state,
    encode_state,
    fold,
    to_ag_ui,
    truncate,
)
from koel_tui.protocol.codec.encrypted_reasoning import (
    decode_encrypted_value,
    encode_encrypted_value,
)
from koel_tui.protocol.messages import from_ag_ui
from tests.protocol.build import (
    HELLO,
    call,
    call_start,
    content,
    encrypted,
    end,
    finished,
    fold_all,
    result,
    snapshot,
    start,
    started,
    text,
    thought,
)
from tests.protocol.strategies import A_MOMENT, LATER


def reasoning(state: ChatState) -> list[tuple[str, str]]:
    return [(message.id, message.reasoning) for message in state.messages]


def more(delta: str, message_id: str = "r1") -> core.BaseEvent:
    return core.ReasoningMessageContentEvent(message_id=message_id, delta=delta)


def test_reasoning_goes_to_the_assistant_message_that_follows() -> None:
    state = fold_all(*thought("Hm."), *text("Yes."))
    expected = Message(
        "a1",
        "assistant",
        "Yes.",
        timestamp=A_MOMENT,
        reasoning="Hm.",
        reasoning_ids=("r1",),
    )
    assert state == ChatState(messages=(expected,))


def test_reasoning_shows_while_it_is_written() -> None:
    state = fold_all(*thought("H")[:3], more("m."))
    assert [m.reasoning for m in state.pending_messages] == ["Hm."]
    assert [m.content for m in state.pending_messages] == [""]


def test_several_stretches_of_reasoning_stay_apart() -> None:
    one, two = thought("", "r1")[:2], thought("", "r2")[:2]
    state = fold_all(*one, *two, more("1", "r1"), more("2", "r2"), more("!", "r1"), *text("x"))
    assert reasoning(state) == [("a1", "1!\n\n2")]


def test_reasoning_that_continues_during_the_text_is_kept() -> None:
    state = fold_all(*thought("H")[:3], start(), content("x"), more("m"), end(), more("lost"))
    assert [(m.content, m.reasoning) for m in state.messages] == [("x", "Hm")]
    assert fold(state, more("late")) is state


def test_reasoning_goes_to_a_message_made_for_a_call() -> None:
    state = fold_all(*thought("Hm."), *call(), result(), *thought("So.", "r2"), *text("x", "a2"))
    assert reasoning(state) == [("a1", "Hm."), ("r-tc1", ""), ("a2", "So.")]


def test_reasoning_is_added_to_assistant_messages_only() -> None:
    user = (start("u2", role="user"), content("hi", "u2"), end("u2"))
    state = fold_all(*thought("Hm."), *user, *text("Yes."))
    assert reasoning(state) == [("u2", ""), ("a1", "Hm.")]


def test_reasoning_may_share_the_id_of_its_text() -> None:
    assert reasoning(fold_all(*thought("Hm.", "a1"), *text("Yes."))) == [("a1", "Hm.")]


def test_reasoning_without_an_answer_is_kept_and_not_interrupted_when_the_run_finished() -> None:
    state = fold_all(started(), *thought("Hm."), finished())
    assert [(m.id, m.reasoning, m.interrupted) for m in state.messages] == [("r1", "Hm.", False)]


@pytest.mark.parametrize(
    "events", [(*thought("Hm.")[:3], finished()), (*thought("Hm."), finished("cancelled"))]
)
def test_reasoning_that_was_cut_off_is_interrupted(events: tuple[core.BaseEvent, ...]) -> None:
    state = fold_all(started(), *events)
    assert [(m.reasoning, m.interrupted) for m in state.messages] == [("Hm.", True)]


def test_reasoning_without_an_open_block_changes_nothing() -> None:
    state = fold_all(*thought("Hm."))
    closing = core.ReasoningMessageEndEvent(message_id="r1")
    for event in (more("x"), more("x", "nobody"), closing):
        assert fold(state, event) is state
    opened = fold_all(*thought("Hm.")[:3])
    assert fold(opened, thought("")[1]) is opened
    assert fold(opened, more("")) is opened


def test_a_snapshot_keeps_reasoning_being_written_unless_it_has_it() -> None:
    state = fold_all(*thought("H")[:3], start(), content("x"))
    answer = {"id": "a1", "role": "assistant", "content": "xy"}
    kept = fold_all(snapshot(answer), more("m"), end(), over=state)
    assert [(m.content, m.reasoning) for m in kept.messages] == [("xy", "Hm")]
    reported = {"id": "r1", "role": "reasoning", "content": "Told."}
    replaced = fold_all(snapshot(reported, answer), more("More."), end(), over=state)
    assert reasoning(replaced) == [("a1", "Told.\n\nMore.")]


def test_a_snapshot_does_not_double_reasoning_that_waits_for_its_message() -> None:
    wire = (
        {"id": "r1", "role": "reasoning", "content": "Hm."},
        {"id": "a1", "role": "assistant", "content": "Yes."},
    )
    state = fold_all(*thought("Hm."), snapshot(*wire), finished())
    assert reasoning(state) == [("a1", "Hm.")]


VALUES = ["AQID", "AQ==", "", "gAAAAB-_x", "not base64!", "/3RleHQ6", "A", "AR==", "é\n"]


@pytest.mark.parametrize("value", VALUES)
def test_session_case_10_an_encrypted_value_goes_back_exactly_as_it_came(value: str) -> None:
    state = fold_all(started(), *thought("Hm."), encrypted("r1", value), *text("x"), finished())
    saved = decode_state(json.loads(encode_state(state)))
    assert saved == state
    sent = to_ag_ui(saved.messages, saved.reasoning_echo)
    assert sent == [
        core.ReasoningMessage(id="r1", role="reasoning", content="Hm.", encrypted_value=value),
        core.AssistantMessage(id="a1", role="assistant", content="x"),
    ]


@given(st.text() | st.binary().map(lambda data: encode_encrypted_value(data)))
def test_session_case_10_holds_for_any_value(value: str) -> None:
    assert encode_encrypted_value(decode_encrypted_value(value)) == value


def test_session_case_10_base64_is_kept_as_its_bytes() -> None:
    state = fold_all(encrypted("e1", "AQID"))
    assert state.reasoning_echo == {"e1": b"\x01\x02\x03"}
    assert fold(state, encrypted("e1", "AQID")) is state


def test_reasoning_that_used_its_id_twice_is_sent_once() -> None:
    state = fold_all(*thought("1"), *thought("2"), encrypted("r1", "QQ=="), *text("x"))
    sent = to_ag_ui(state.messages, state.reasoning_echo)
    assert [each.content for each in sent] == ["1\n\n2", "x"]


def test_encrypted_values_go_to_the_messages_and_calls_they_came_for() -> None:
    events = (
        *text("x"),
        *call(),
        encrypted("a1", "QQ=="),
        encrypted("tc1", "Qg==", "tool-call"),
        result(),
        encrypted("r-tc1", "Qw=="),
    )
    state = fold_all(*events)
    assistant, tool = to_ag_ui(state.messages, state.reasoning_echo)
    assert isinstance(assistant, core.AssistantMessage)
    assert isinstance(tool, core.ToolMessage)
    assert assistant.encrypted_value == "QQ=="
    assert [each.encrypted_value for each in assistant.tool_calls or ()] == ["Qg=="]
    assert tool.encrypted_value == "Qw=="


def test_encrypted_reasoning_without_text_belongs_to_the_message_that_follows() -> None:
    state = fold_all(encrypted("r1", "QQ=="), *text("x"))
    assert state.messages[0].reasoning_ids == ("r1",)
    assert [each.role for each in to_ag_ui(state.messages, state.reasoning_echo)] == [
        "reasoning",
        "assistant",
    ]


@pytest.mark.parametrize(
    ("events", "entity_id"),
    [
        ((start(), start("a2")), "a2"),
        ((start(), *thought("Hm.")[:3]), "r1"),
        ((*text("x", "a0"), *thought("Hm."), *text("Yes.")), "r1"),
        ((*thought("Hm."), *text("Yes."), *text("x", "a2")), "a1"),
    ],
)
def test_an_encrypted_value_of_a_known_entity_adds_no_message(
    events: tuple[core.BaseEvent, ...], entity_id: str
) -> None:
    state = fold_all(*events)
    after = fold(state, encrypted(entity_id, "QQ=="))
    assert after == replace(state, reasoning_echo={entity_id: b"A"})


@pytest.mark.parametrize("events", [(start(),), thought("Hm."), (*thought("Hm."), *text("Yes."))])
def test_encrypted_reasoning_is_complete_as_it_comes(events: tuple[core.BaseEvent, ...]) -> None:
    state = fold_all(*events, encrypted("r9", "QQ=="))
    (thoughts,) = (each.thoughts for each in state.open_messages if each.key is None)
    assert (thoughts[-1].id, thoughts[-1].is_open) == ("r9", False)
    assert fold(state, more("x", "r9")) is state


def test_an_interrupted_last_answer_continues_where_it_stopped() -> None:
    half = Message("a1", "assistant", "Hel", timestamp=LATER, reasoning="Hm.", interrupted=True)
    state = fold_all(start("b"), over=ChatState((HELLO, replace(HELLO, id="u2"), half)))
    again = fold(state, start())
    assert again.messages == state.messages[:-1]
    written = replace(half, interrupted=False, timestamp=None)
    assert again.pending_messages == (Message("b", "assistant"), written)
    done = fold_all(content("lo"), end(), over=again)
    assert done.messages[-1] == replace(written, content="Hello", timestamp=A_MOMENT)
    other = fold(state, start("c"))
    assert other.messages == state.messages
    assert [message.id for message in other.pending_messages] == ["b", "c"]


def test_an_encrypted_value_of_a_call_is_not_reasoning() -> None:
    state = fold_all(encrypted("tc9", "QQ==", "tool-call"), *text("x"))
    assert state.messages[0].reasoning_ids == ()


def test_an_encrypted_value_of_an_unknown_entity_precedes_the_last_question() -> None:
    state = fold_all(started(), encrypted("e1", "QQ=="), finished())
    assert state.messages == ()
    asked = (HELLO, Message("a", "assistant", "x"), replace(HELLO, id="u2"))
    sent = to_ag_ui(asked, state.reasoning_echo)
    assert [each.id for each in sent] == ["u1", "a", "e1", "u2"]


def test_an_encrypted_value_in_a_snapshot_is_sent_again() -> None:
    wire = (
        {"id": "r1", "role": "reasoning", "content": "Hm.", "encryptedValue": "QQ=="},
        {"id": "a1", "role": "assistant", "content": "Yes.", "encryptedValue": "Qg=="},
    )
    state = fold_all(snapshot(*wire))
    sent = [
        each.model_dump(by_alias=True) for each in to_ag_ui(state.messages, state.reasoning_echo)
    ]
    assert sent == list(wire)
    given = {"threadId": "t", "runId": "r", "messages": wire}
    begun = fold(ChatState(), started(input=given))
    assert begun.reasoning_echo == {"r1": b"A"}


def test_truncating_drops_messages_pending_items_and_their_encrypted_values() -> None:
    first = fold_all(*thought("1"), encrypted("r1", "QQ=="), *text("x"), over=ChatState((HELLO,)))
    events = (*thought("2", "r2"), encrypted("r2", "Qg=="), *call(parent="a2"), call_start("tc2"))
    state = fold_all(started(), *events, encrypted("tc1", "Qw==", "tool-call"), over=first)
    assert set(state.reasoning_echo) == {"r1", "r2", "tc1"}
    assert truncate(state, 2) == replace(first, phase=RunPhase.RUNNING)
    assert truncate(first, 2) is first
    assert truncate(first, 1) == ChatState((HELLO,))


PART = {"type": "image", "source": {"type": "url", "value": "https://x/y.png", "mimeType": "x/y"}}


def test_b17_attachments_are_sent_as_parts_and_come_back() -> None:
    asked = (
        Message("u", "user", "See.", attachments=(PART,)),
        Message("v", "user", "", attachments=(PART,)),
        Message("a", "assistant", "", tool_calls=(ToolCall("c", "f", "{}"),)),
        Message("w", "tool", "A picture.", tool_call_id="c", attachments=(PART,)),
    )
    first, second, called, result = to_ag_ui(asked)
    assert [part.type for part in first.content] == ["text", "image"]  # type: ignore[union-attr]  # parts
    assert [part.type for part in second.content] == ["image"]  # type: ignore[union-attr]  # parts
    assert [part.type for part in result.content] == ["text", "image"]  # type: ignore[union-attr]  # parts
    back = from_ag_ui([first, second, called, result])
    assert [each.content for each in back] == ["See.", "", "", "A picture."]
    pictures = [each.attachments[0] for each in (*back[:2], back[3])]
    assert all(each["source"]["value"] == "https://x/y.png" for each in pictures)


@pytest.mark.parametrize(
    ("role", "attachment"),
    [
        ("assistant", PART),
        ("system", PART),
        ("user", {"type": "binary", "mimeType": "x/y", "data": "aa"}),
        ("user", {"no": "type"}),
    ],
)
def test_b17_an_attachment_that_cannot_be_sent_is_an_error(
    role: str, attachment: dict[str, str]
) -> None:
    with pytest.raises(ProtocolError, match=f"the role {role} has an attachment of the kind"):
        to_ag_ui([Message("m", role, "text", attachments=(attachment,))])
