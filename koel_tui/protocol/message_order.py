"""The order of messages in a thread: the answers to calls follow the message that makes them."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from operator import attrgetter

from koel_tui.protocol.state import ChatState, Message, OpenMessage, ToolCall

_ID = attrgetter("id")


def unused_id(preferred: str, messages: Sequence[Message], opened: Iterable[OpenMessage]) -> str:
    """Return `preferred`, or a variant of it if a message already has that id.

    Agents may reuse an id in a later run; in a thread the ids are unique.
    """
    opened_ids = {each.head.id for each in opened}
    # Without a set of all ids, because nearly every id is unused.
    if preferred not in opened_ids and preferred not in map(_ID, messages):
        return preferred
    used = opened_ids.union(map(_ID, messages))
    number = 2
    while f"{preferred}-{number}" in used:
        number += 1
    return f"{preferred}-{number}"


def commit(messages: tuple[Message, ...], message: Message) -> tuple[Message, ...]:
    """Return `messages` with `message` at the end, or before the answers to its calls."""
    index = commit_index(messages, message.tool_calls)
    return (*messages[:index], message, *messages[index:])


def commit_index(messages: Sequence[Message], calls: Iterable[ToolCall]) -> int:
    """Return the index for a message with `calls`: the end, or before their answers."""
    ids = {call.id for call in calls}
    position = len(messages)
    if not ids:
        return position
    for index in reversed(range(len(messages))):
        message = messages[index]
        if message.role == "tool" and message.tool_call_id in ids:
            position = index
        elif message.role == "user" or makes_call(message, ids):
            break
    return position


def makes_call(message: Message, ids: Iterable[str]) -> bool:
    """Return whether `message` makes a call with one of the `ids`."""
    return any(call.id in ids for call in message.tool_calls)


def is_committed(state: ChatState, call: ToolCall) -> bool:
    """Return whether `call` is complete, which means that its message contains it."""
    for opened in state.open_messages:
        if opened.head.id == call.parent_message_id:
            return makes_call(opened.head, (call.id,))
    for message in reversed(state.messages):
        if message.id == call.parent_message_id:
            return makes_call(message, (call.id,))
    return False


def calls_to_answer(state: ChatState) -> tuple[ToolCall, ...]:
    """Return the complete calls that have no result yet, oldest first."""
    return tuple(call for call in state.pending_tool_calls if is_committed(state, call))


def drop_unanswered(messages: Iterable[Message]) -> list[Message]:
    """Return `messages` without unanswered calls and without answers to missing calls.

    Models must not receive either: servers reject them, and templates pair them by position.
    """
    messages = tuple(messages)
    if not any(message.tool_calls or message.role == "tool" for message in messages):
        return list(messages)
    answers: set[str | None] = set()
    answered: list[Message] = []
    for message in reversed(messages):
        if message.tool_calls:
            message = _with_answered_calls(message, answers)
        if message.role == "tool":
            answers.add(message.tool_call_id)
        answered.append(message)
    open_calls: set[str | None] = set()
    result = []
    for message in reversed(answered):
        if message.tool_calls:
            open_calls.update(call.id for call in message.tool_calls)
        if message.role != "tool" or message.tool_call_id in open_calls:
            result.append(message)
            open_calls.discard(message.tool_call_id)
    return result


def _with_answered_calls(message: Message, answers: set[str | None]) -> Message:
    """Return `message` with only its calls that are in `answers`, and remove these there."""
    calls = tuple(
        call
        for call in {call.id: call for call in message.tool_calls}.values()
        if call.id in answers
    )
    answers.difference_update(call.id for call in calls)
    return message if calls == message.tool_calls else replace(message, tool_calls=calls)


def last_question(messages: Sequence[Message]) -> int | None:
    """Return the index of the last user message, None if there is none."""
    for index in reversed(range(len(messages))):
        if messages[index].role == "user":
            return index
    return None


def has_answers_to_earlier(messages: Iterable[Message]) -> bool:
    """Return whether `messages`, the end of a thread, have answers to calls that are not theirs."""
    answers: set[str | None] = set()
    for message in reversed(tuple(messages)):
        answers.difference_update(call.id for call in message.tool_calls)
        if message.role == "tool":
            answers.add(message.tool_call_id)
    return bool(answers)
