"""Where messages stand in a thread: calls behind what makes them, answers behind their calls."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from koel_tui.protocol.state import ChatState, Message, OpenMessage, ToolCall


def unused_id(wanted: str, messages: Iterable[Message], opened: Iterable[OpenMessage]) -> str:
    """Return `wanted`, or a variant of it when a message already has that id.

    Agents may use an id again in a later run; in a thread each message keeps its own.
    """
    used = {message.id for message in messages}
    used.update(each.head.id for each in opened)
    unused, number = wanted, 1
    while unused in used:
        number += 1
        unused = f"{wanted}-{number}"
    return unused


def commit(messages: tuple[Message, ...], message: Message) -> tuple[Message, ...]:
    """Return `messages` with `message` at the end, or before the answers to its calls."""
    place = commit_place(messages, message.tool_calls)
    return (*messages[:place], message, *messages[place:])


def commit_place(messages: Sequence[Message], calls: Iterable[ToolCall]) -> int:
    """Return where a message that makes `calls` belongs: at the end, or before their answers."""
    ids = {call.id for call in calls}
    place = len(messages)
    if not ids:
        return place
    for index in reversed(range(len(messages))):
        message = messages[index]
        if message.role == "tool" and message.tool_call_id in ids:
            place = index
        elif message.role == "user" or makes_call(message, ids):
            break
    return place


def makes_call(message: Message, ids: Iterable[str]) -> bool:
    """Tell whether `message` makes one of the calls named."""
    return any(call.id in ids for call in message.tool_calls)


def is_committed(state: ChatState, call: ToolCall) -> bool:
    """Tell whether `call` is complete, which is when its message carries it."""
    for opened in state.open_messages:
        if opened.head.id == call.parent_message_id:
            return makes_call(opened.head, (call.id,))
    for message in reversed(state.messages):
        if message.id == call.parent_message_id:
            return makes_call(message, (call.id,))
    return False


def calls_to_answer(state: ChatState) -> tuple[ToolCall, ...]:
    """Return the calls that are complete and still wait for their results, oldest first."""
    return tuple(call for call in state.pending_tool_calls if is_committed(state, call))


def answerable(messages: Iterable[Message]) -> list[Message]:
    """Return `messages` without calls nobody answered and answers to calls nobody made.

    A model is never asked with either: servers refuse it, and templates pair them by position.
    """
    answers: set[str | None] = set()
    kept: list[Message] = []
    for message in reversed(tuple(messages)):
        calls = tuple(
            call
            for call in {call.id: call for call in message.tool_calls}.values()
            if call.id in answers
        )
        answers -= {call.id for call in calls}
        if message.role == "tool":
            answers.add(message.tool_call_id)
        kept.append(message if calls == message.tool_calls else replace(message, tool_calls=calls))
    made: set[str | None] = set()
    result = []
    for message in reversed(kept):
        made.update(call.id for call in message.tool_calls)
        if message.role != "tool" or message.tool_call_id in made:
            result.append(message)
            made -= {message.tool_call_id}
    return result
