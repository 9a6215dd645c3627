"""The fold of streamed text and reasoning: messages are opened, extended and committed by id."""

from dataclasses import replace

from ag_ui.core import (
    ReasoningEncryptedValueEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
)

from koel_tui.protocol.codec.encrypted_reasoning import decode_encrypted_value
from koel_tui.protocol.fold.helpers import event_time, open_assistant, with_open, without_open
from koel_tui.protocol.message_order import commit, unused_id
from koel_tui.protocol.state import ChatState, Message, OpenMessage, Thought

_OTHER_ROLES = ("user", "system")


def start_text(event: TextMessageStartEvent, state: ChatState) -> ChatState:
    """Open a message, or start the text of a message that a call opened.

    An incomplete answer at the end of the thread is opened again, because the agent continues it.
    """
    for index, opened in enumerate(state.open_messages):
        if opened.key == event.message_id:
            if opened.has_text:
                return state
            return with_open(state, index, replace(opened, has_text=True))
    last = state.messages[-1] if state.messages else None
    if last is not None and last.is_continuable and last.id == event.message_id:
        thoughts = tuple(
            thought
            for opened in state.open_messages
            if opened.key is None
            for thought in opened.thoughts
        )
        others = tuple(opened for opened in state.open_messages if opened.key is not None)
        reopened = replace(_reopen(last), thoughts=thoughts)
        return replace(state, messages=state.messages[:-1], open_messages=(*others, reopened))
    if event.role not in _OTHER_ROLES:
        return open_assistant(state, event.message_id, name=event.name, has_text=True)[0]
    unused = unused_id(event.message_id, state.messages, state.open_messages)
    opened = OpenMessage(event.message_id, Message(unused, event.role, name=event.name))
    return replace(state, open_messages=(*state.open_messages, opened))


def append_text(event: TextMessageContentEvent, state: ChatState) -> ChatState:
    """Append to the open message."""
    if not event.delta:
        return state
    for index, opened in enumerate(state.open_messages):
        if opened.key == event.message_id and opened.has_text:
            return with_open(state, index, opened.append(event.delta))
    return state


def end_text(event: TextMessageEndEvent, state: ChatState) -> ChatState:
    """Commit the open message."""
    for index, opened in enumerate(state.open_messages):
        if opened.key == event.message_id and opened.has_text:
            message = replace(opened.message, timestamp=event_time(event))
            return without_open(state, index, commit(state.messages, message))
    return state


def start_reasoning(event: ReasoningMessageStartEvent, state: ChatState) -> ChatState:
    """Open a thought for the next assistant message."""
    if _open_thought(state, event.message_id) is not None:
        return state
    return _with_thought(state, Thought(event.message_id))


def append_reasoning(event: ReasoningMessageContentEvent, state: ChatState) -> ChatState:
    """Append to the open thought."""
    found = _open_thought(state, event.message_id)
    if found is None or not event.delta:
        return state
    index, position, thought = found
    changed = replace(thought, text=thought.text.append(event.delta))
    return _replace_thought(state, index, position, changed)


def end_reasoning(event: ReasoningMessageEndEvent, state: ChatState) -> ChatState:
    """Close the open thought; its message may not have started yet."""
    found = _open_thought(state, event.message_id)
    if found is None:
        return state
    index, position, thought = found
    return _replace_thought(state, index, position, replace(thought, is_open=False))


def store_encrypted_reasoning(event: ReasoningEncryptedValueEvent, state: ChatState) -> ChatState:
    """Store an encrypted value for the next run.

    Reasoning without other events is also assigned to the next assistant message.
    """
    value = decode_encrypted_value(event.encrypted_value)
    if state.reasoning_echo.get(event.entity_id) == value:
        return state
    updated = replace(state, reasoning_echo={**state.reasoning_echo, event.entity_id: value})
    if event.subtype != "message" or _is_known(state, event.entity_id):
        return updated
    return _with_thought(updated, Thought(event.entity_id, is_open=False))


def _is_known(state: ChatState, entity_id: str) -> bool:
    for opened in state.open_messages:
        if opened.key == entity_id or any(each.id == entity_id for each in opened.thoughts):
            return True
    return any(
        entity_id == message.id or entity_id in message.reasoning_ids for message in state.messages
    )


def _open_thought(state: ChatState, thought_id: str) -> tuple[int, int, Thought] | None:
    """Return an open thought, with the index of its open message and its position there."""
    for index, opened in enumerate(state.open_messages):
        for position, thought in enumerate(opened.thoughts):
            if thought.id == thought_id and thought.is_open:
                return index, position, thought
    return None


def _with_thought(state: ChatState, thought: Thought) -> ChatState:
    for index, opened in enumerate(state.open_messages):
        if opened.key is None:
            return with_open(state, index, replace(opened, thoughts=(*opened.thoughts, thought)))
    last = state.messages[-1] if state.messages else None
    if last is not None and last.is_thinking_only:  # the agent thinks again before it answers
        opened = replace(_reopen(last), key=None, thoughts=(thought,), has_text=False)
        return replace(
            state, messages=state.messages[:-1], open_messages=(*state.open_messages, opened)
        )
    unused = unused_id(thought.id, state.messages, state.open_messages)
    head = Message(unused, "assistant")
    opened = OpenMessage(None, head, thoughts=(thought,), has_text=False)
    return replace(state, open_messages=(*state.open_messages, opened))


def _reopen(message: Message) -> OpenMessage:
    """Return a complete message as an open message."""
    return OpenMessage.of(replace(message, interrupted=False, timestamp=None, finish_reason=None))


def _replace_thought(state: ChatState, index: int, position: int, thought: Thought) -> ChatState:
    opened = state.open_messages[index]
    thoughts = (*opened.thoughts[:position], thought, *opened.thoughts[position + 1 :])
    return with_open(state, index, replace(opened, thoughts=thoughts))
