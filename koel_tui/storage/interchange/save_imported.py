"""Saving of imported threads: new ones, and new messages of saved ones."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from koel_tui.protocol import ChatState, settle
from koel_tui.storage.errors import DamagedThreadError, FutureSchemaError, StorageError
from koel_tui.storage.interchange.merging import first_messages, merge
from koel_tui.storage.interchange.portable_thread import Thread
from koel_tui.storage.session_storage import SessionStorage

_SOURCE = "importedFrom"
"""The metadata with the id of an imported thread that was saved with another one."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A stored thread.

    `is_new` is False if the same conversation was saved already; `added` is the number of messages
    that the import added to it.
    """

    id: str
    title: str
    is_new: bool
    added: int = 0


@dataclass(frozen=True, slots=True)
class _Match:
    """A saved thread that is the imported conversation, with the `added` messages of the import."""

    thread_id: str
    state: ChatState
    added: int


class SavedThreads:
    """Finds saved threads by their first messages; it reads them when it is first asked."""

    def __init__(self, storage: SessionStorage) -> None:
        self._storage = storage
        self._ids: dict[int, list[str]] | None = None

    async def find(self, state: ChatState) -> list[str]:
        """Return the ids of the threads that begin with the same message in any branch."""
        if self._ids is None:
            self._ids = {}
            for thread_id in await self._storage.list_threads():
                try:
                    saved = await self._storage.load(thread_id)
                except StorageError:
                    continue  # a thread that cannot be read cannot be extended
                if saved is not None:
                    self.add(thread_id, saved)
        ids = self._ids
        return list(dict.fromkeys(each for key in _keys(state) for each in ids.get(key, ())))

    def add(self, thread_id: str, state: ChatState) -> None:
        """Add a thread that was saved meanwhile."""
        if self._ids is not None:
            for key in _keys(state):
                self._ids.setdefault(key, []).append(thread_id)


def _keys(state: ChatState) -> Iterator[int]:
    """Yield hashes, which need less memory than the messages."""
    return map(hash, first_messages(state))


async def store_thread(
    storage: SessionStorage, thread: Thread, saved_threads: SavedThreads | None = None
) -> Stored:
    """Save an imported thread, or the messages that the saved thread does not have.

    The saved thread has the same id, or else, if `saved_threads` are given, the same messages. A
    different thread with its id is kept, and the imported one gets a new id. The id of a thread of
    koel-chat is enough, because its branches in other threads have the same messages. Raises
    `StorageError`.
    """
    state = settle(thread.state, None)
    thread_id = thread.id or _id_for(state)
    match: _Match | None = None
    try:
        found = await storage.load(thread_id)
        is_in_use = found is not None
    except FutureSchemaError:
        found, is_in_use = None, True
    if found is not None:
        match = _match(thread_id, found, thread, state)
    if is_in_use:
        thread_id = str(uuid.uuid4())  # for a different thread, if it is one
    can_extend = thread.is_foreign or not thread.id
    if match is None and saved_threads is not None and (can_extend or is_in_use):
        match = await _find_saved(storage, saved_threads, thread, state, can_extend=can_extend)
    if match is not None:
        return await _extend(storage, match, thread, state)
    try:
        stored = await _save_new(storage, thread, thread_id)
    except DamagedThreadError:  # a damaged file of this id exists and must not be overwritten
        if saved_threads is not None:  # it may have been imported before
            match = await _find_saved(storage, saved_threads, thread, state, can_extend=can_extend)
        if match is not None:
            return await _extend(storage, match, thread, state)
        stored = await _save_new(storage, thread, str(uuid.uuid4()))
    if saved_threads is not None:
        saved_threads.add(stored.id, state)
    return stored


def _id_for(state: ChatState) -> str:
    """Return an id for a thread that has none; a thread without messages always gets the same."""
    if state.messages:
        return str(uuid.uuid4())
    return str(uuid.uuid5(uuid.NAMESPACE_OID, repr(state)))


def _match(thread_id: str, saved: ChatState, thread: Thread, state: ChatState) -> _Match | None:
    """Return the saved thread with the new messages of an import; None if they are different."""
    if saved == state:
        return _Match(thread_id, saved, 0)
    source_id = thread_id if thread_id == thread.id else ""
    merged = merge(saved, state, is_foreign=thread.is_foreign, source_id=source_id)
    return None if merged is None else _Match(thread_id, *merged)


async def _find_saved(
    storage: SessionStorage,
    saved_threads: SavedThreads,
    thread: Thread,
    state: ChatState,
    *,
    can_extend: bool,
) -> _Match | None:
    """Return the saved thread that has most of the imported messages, None if there is none.

    A copy up to an answer has the same messages, but fewer. If `can_extend` is False, the saved
    thread must have all messages, or be an earlier import of a thread that was changed twice.
    """
    best: _Match | None = None
    for candidate in await saved_threads.find(state):
        if candidate == thread.id or _is_other_source(thread.id, candidate):
            continue
        saved = await storage.load(candidate)
        match = None if saved is None else _match(candidate, saved, thread, state)
        if match is None:
            continue
        if match.added and not can_extend and not await _is_copy_of(storage, candidate, thread.id):
            continue
        if best is None or match.added < best.added:
            best = match
    return best


async def _is_copy_of(storage: SessionStorage, thread_id: str, source_id: str) -> bool:
    """Return whether a thread was saved with another id because `source_id` was in use."""
    return (await storage.meta(thread_id)).get(_SOURCE) == source_id


def _is_other_source(source_id: str, thread_id: str) -> bool:
    """Return whether a thread was imported from another conversation of the same program.

    A conversation that was copied there has the same messages.
    """
    program, separator, _ = source_id.partition("-")
    return bool(separator) and thread_id.startswith(f"{program}-") and thread_id != source_id


async def _extend(
    storage: SessionStorage, match: _Match, thread: Thread, state: ChatState
) -> Stored:
    """Save the messages that an import adds to a saved thread."""
    thread_id = match.thread_id
    if match.added:
        before = await storage.meta(thread_id)
        await storage.save(thread_id, match.state)
        await storage.update_meta(thread_id, **_extended_meta(before, thread.meta))
    elif match.state == state:
        await _complete_meta(storage, thread_id, thread)
    return Stored(thread_id, thread.title, is_new=False, added=match.added)


async def _complete_meta(storage: SessionStorage, thread_id: str, thread: Thread) -> None:
    """Set the metadata of a thread whose import ended between its state and its metadata."""
    times = {"created", "updated"}
    if thread.meta.keys() - times and (await storage.meta(thread_id)).keys() <= times:
        await storage.update_meta(thread_id, **thread.meta)


def _extended_meta(saved: dict[str, Any], imported: Any) -> dict[str, Any]:
    """Return the metadata to change: what is missing, and the time of the newest message."""
    fields = {key: value for key, value in imported.items() if key not in saved}
    times = [meta["updated"] for meta in (saved, imported) if isinstance(meta.get("updated"), str)]
    return fields | ({"updated": max(times)} if times else {})


async def _save_new(storage: SessionStorage, thread: Thread, thread_id: str) -> Stored:
    await storage.save(thread_id, thread.state)
    source = {_SOURCE: thread.id} if thread.id and thread.id != thread_id else {}
    await storage.update_meta(thread_id, **{**thread.meta, **source})
    return Stored(thread_id, thread.title, is_new=True)
