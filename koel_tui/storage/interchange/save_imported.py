"""Saving of imported threads without changing existing ones."""

import uuid
from dataclasses import dataclass

from koel_tui.protocol import settle
from koel_tui.storage.errors import DamagedThreadError, FutureSchemaError
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.storage.session_storage import SessionStorage


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored thread; `is_new` is False if an identical one existed already."""

    id: str
    title: str
    is_new: bool


async def store_thread(storage: SessionStorage, thread: Thread) -> Stored:
    """Save an imported thread under its id, or under a new one if another thread has it.

    Raises `StorageError`.
    """
    thread_id = thread.id or str(uuid.uuid4())
    try:
        found = await storage.load(thread_id)
    except FutureSchemaError:
        thread_id = str(uuid.uuid4())
    else:
        if found is not None and found == settle(thread.state, None):
            return Stored(thread_id, thread.title, is_new=False)
        if found is not None:
            thread_id = str(uuid.uuid4())
    try:
        await storage.save(thread_id, thread.state)
    except DamagedThreadError:  # a damaged file of this id exists and must not be overwritten
        thread_id = str(uuid.uuid4())
        await storage.save(thread_id, thread.state)
    await storage.update_meta(thread_id, **thread.meta)
    return Stored(thread_id, thread.title, is_new=True)
