from ag_ui import core

from koel_tui.protocol import Message, ToolCall, to_ag_ui
from koel_tui.protocol.messages import from_ag_ui


def test_messages_are_converted_to_the_models_of_ag_ui() -> None:
    call = ToolCall("c1", "find", '{"q":1}')
    sent = to_ag_ui(
        [
            Message("s", "system", "Be brief."),
            Message("u", "user", "hi", name="Ada"),
            Message("a", "assistant", tool_calls=(call,)),
            Message("t", "tool", "42", tool_call_id="c1"),
            Message("b", "assistant", "It is 42.", interrupted=True),
        ]
    )
    function = core.FunctionCall(name="find", arguments='{"q":1}')
    assert sent == [
        core.SystemMessage(id="s", role="system", content="Be brief."),
        core.UserMessage(id="u", role="user", content="hi", name="Ada"),
        core.AssistantMessage(
            id="a",
            role="assistant",
            tool_calls=[core.ToolCall(id="c1", type="function", function=function)],
        ),
        core.ToolMessage(id="t", role="tool", content="42", tool_call_id="c1"),
        core.AssistantMessage(id="b", role="assistant", content="It is 42."),
    ]


def test_empty_messages_and_activities_are_not_sent() -> None:
    assert to_ag_ui([Message("a", "assistant"), Message("p", "activity", "{}")]) == []


def test_a_stored_broken_surrogate_does_not_stop_a_run() -> None:
    (sent,) = to_ag_ui([Message("u", "user", "a\ud83d")])
    assert sent.content == "a\ufffd"


def test_parts_become_text_and_attachments() -> None:
    parts = [
        core.TextPart(type="text", text="Look: "),
        core.ImagePart(type="image", source=core.UrlSource(type="url", value="https://e.org/i")),
    ]
    (message,) = from_ag_ui([core.UserMessage(id="u", role="user", content=parts)])
    assert message.content == "Look: "
    assert message.attachments[0]["source"]["value"] == "https://e.org/i"


def test_unknown_message_fields_are_kept() -> None:
    given = core.AssistantMessage.model_validate(
        {"id": "a", "role": "assistant", "content": "x", "encryptedValue": "AQ==", "future": 1}
    )
    (message,) = from_ag_ui([given])
    assert message.extra == {"encryptedValue": "AQ==", "future": 1}


def test_reasoning_that_no_answer_follows_is_kept() -> None:
    thought = core.ReasoningMessage(id="r", role="reasoning", content="hm")
    expected = Message("r", "assistant", reasoning="hm", reasoning_ids=("r",))
    assert from_ag_ui([thought]) == (expected,)
