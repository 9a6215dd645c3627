"""Helpers that read the thread that a program has saved."""

from koel_tui.protocol import Message
from koel_tui.storage import JsonFileStorage


async def saved_texts() -> list[str]:
    """Return the texts of the only saved thread."""
    return [message.content for message in await saved_messages()]


async def saved_messages() -> tuple[Message, ...]:
    """Return the messages of the only saved thread."""
    storage = JsonFileStorage()
    (thread_id,) = await storage.list_threads()
    state = await storage.load(thread_id)
    assert state is not None
    return state.messages
