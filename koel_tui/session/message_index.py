"""Lookup of messages in a thread. Pure."""

from koel_tui.protocol import ChatState
from koel_tui.session.errors import UnknownMessageError


def find_message(message_id: str, state: ChatState, thread_id: str) -> int:
    """Return the index of a message. Raises `UnknownMessageError` with the thread's id."""
    for index, message in enumerate(state.messages):
        if message.id == message_id:
            return index
    raise UnknownMessageError(thread_id, message_id)
