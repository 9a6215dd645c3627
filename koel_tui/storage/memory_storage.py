"""A storage in RAM that lasts as long as the program."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from koel_tui.protocol import ChatState
from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage.errors import id_in_use_error, not_in_trash_error
from koel_tui.storage.session_storage import Access, Summary
from koel_tui.storage.thread_head import Outline
from koel_tui.storage.thread_record import (
    Record,
    decode_record,
    encode_chat_state,
    encode_record,
    newest_first,
)
from koel_tui.system.clock import utc_now

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


class MemoryStorage:
    """A `SessionStorage` in RAM; threads are serialized, so callers share no objects with it.

    `clock` returns the current time in UTC. Methods raise the errors of `SessionStorage`.
    """

    def __init__(self, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._threads: dict[str, str] = {}
        self._trash: dict[str, tuple[datetime, str]] = {}

    async def open(self, thread_id: str) -> Access:
        """Return write access, always granted because no other process can reach the thread."""
        return Access(writable=True)

    async def close(self, thread_id: str) -> None:
        """Do nothing, because there is no lock."""

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Save `state` as the thread's newest state; its metadata is kept."""
        header = self._record(thread_id).header.for_save(self._clock())
        text = encode_chat_state(thread_id, state)
        self._threads[thread_id] = encode_record(header, Outline.of_state(state), text)

    async def save_conflict(self, thread_id: str, state: ChatState) -> None:
        """Save a `state` that is not the thread's newest as a separate thread."""
        number = 1
        while (name := f"{thread_id}.conflict-{number}") in self._threads:
            number += 1
        await self.save(name, state)

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state, ready to be shown; None if there is none."""
        return self._record(thread_id).chat_state() if thread_id in self._threads else None

    async def delete(self, thread_id: str) -> None:
        """Delete the thread; do nothing if it is absent."""
        self._threads.pop(thread_id, None)

    async def trash(self, thread_id: str) -> None:
        """Move the thread to the trash, replacing one with its id; do nothing if it is absent."""
        text = self._threads.pop(thread_id, None)
        if text is not None:
            self._trash.pop(thread_id, None)
            self._trash[thread_id] = (self._clock(), text)

    async def restore(self, thread_id: str) -> None:
        """Restore a thread from the trash. Raises `StorageError` if that is not possible."""
        if thread_id not in self._trash:
            raise not_in_trash_error(thread_id)
        if thread_id in self._threads:
            raise id_in_use_error(thread_id)
        self._threads[thread_id] = self._trash.pop(thread_id)[1]

    async def trashed(self) -> list[Summary]:
        """Return the threads in the trash, most recently trashed first."""
        texts = [text for _, text in reversed(self._trash.values())]
        return [decode_record(text).summary(_NO_TIME) for text in texts]

    async def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
        """Delete threads that were trashed at least `older_than` ago; return their number."""
        limit = self._clock() - older_than
        expired = [name for name, (trashed_at, _) in self._trash.items() if trashed_at <= limit]
        for name in expired:
            del self._trash[name]
        return len(expired)

    async def list_threads(self) -> list[str]:
        """Return the ids of the saved threads as a new list."""
        return list(self._threads)

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        """Update a thread's metadata; None removes a field. An absent thread is created."""
        record = self._record(thread_id)
        header = record.header.with_meta(fields, self._clock())
        self._threads[thread_id] = encode_record(header, record.outline(), dumps(record.state))

    async def meta(self, thread_id: str) -> dict[str, Any]:
        """Return a thread's metadata as a new dict; empty if the thread is absent."""
        return dict(self._record(thread_id).header.meta)

    async def summaries(self, limit: int | None = None) -> list[Summary]:
        """Return the saved threads, most recently changed first, at most `limit` of them."""
        found = (decode_record(text).summary(_NO_TIME) for text in self._threads.values())
        return newest_first(found)[:limit]

    def _record(self, thread_id: str) -> Record:
        text = self._threads.get(thread_id)
        return Record.empty(thread_id) if text is None else decode_record(text)
