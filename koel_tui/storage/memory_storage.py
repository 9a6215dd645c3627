"""A storage that lasts as long as the program."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from koel_tui.protocol import ChatState
from koel_tui.protocol.codec.state_codec import dumps
from koel_tui.storage.errors import not_in_trash, place_taken
from koel_tui.storage.session_storage import Access, Summary
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
    """Keeps threads in memory, in the wire shape, so that nothing is shared with its users.

    `clock` gives the UTC times of threads. Calls raise what those of `SessionStorage` do.
    """

    def __init__(self, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._threads: dict[str, str] = {}
        self._trash: dict[str, tuple[datetime, str]] = {}

    async def open(self, thread_id: str) -> Access:
        """Hold the thread for writing: always to be had, since nobody else can reach it."""
        return Access(writable=True)

    async def close(self, thread_id: str) -> None:
        """Let others write the thread, if there were any."""

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Keep `state` as the thread's newest; what is known about the thread stays."""
        header = self._record(thread_id).header.saved(self._clock())
        self._threads[thread_id] = encode_record(header, encode_chat_state(thread_id, state))

    async def save_conflict(self, thread_id: str, state: ChatState) -> None:
        """Keep a `state` that is not the thread's newest, as a thread of its own."""
        number = 1
        while (name := f"{thread_id}.conflict-{number}") in self._threads:
            number += 1
        await self.save(name, state)

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state ready to be shown, or None when there is none."""
        return self._record(thread_id).chat_state() if thread_id in self._threads else None

    async def delete(self, thread_id: str) -> None:
        """Forget the thread; one that is absent is fine."""
        self._threads.pop(thread_id, None)

    async def trash(self, thread_id: str) -> None:
        """Throw the thread away, in place of an older one of its id; an absent one is fine."""
        text = self._threads.pop(thread_id, None)
        if text is not None:
            self._trash.pop(thread_id, None)
            self._trash[thread_id] = (self._clock(), text)

    async def restore(self, thread_id: str) -> None:
        """Take a thread back from the trash. Raises `StorageError` when it cannot be."""
        if thread_id not in self._trash:
            raise not_in_trash(thread_id)
        if thread_id in self._threads:
            raise place_taken(thread_id)
        self._threads[thread_id] = self._trash.pop(thread_id)[1]

    async def trashed(self) -> list[Summary]:
        """Return the threads in the trash, the one thrown away last first."""
        texts = [text for _, text in reversed(self._trash.values())]
        return [decode_record(text).summary(_NO_TIME) for text in texts]

    async def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
        """Forget for good what has been in the trash so long; return how many threads went."""
        limit = self._clock() - older_than
        gone = [name for name, (since, _) in self._trash.items() if since <= limit]
        for name in gone:
            del self._trash[name]
        return len(gone)

    async def list_threads(self) -> list[str]:
        """Return the ids of the kept threads in a fresh list."""
        return list(self._threads)

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        """Set what is known about a thread; None removes a field. An absent thread is made."""
        record = self._record(thread_id)
        header = record.header.described(fields, self._clock())
        self._threads[thread_id] = encode_record(header, dumps(record.state))

    async def meta(self, thread_id: str) -> dict[str, Any]:
        """Return what is known about a thread, in a fresh dict; empty when it is absent."""
        return dict(self._record(thread_id).header.meta)

    async def summaries(self, limit: int | None = None) -> list[Summary]:
        """Return the kept threads, the one changed last first; with a limit only so many."""
        found = (decode_record(text).summary(_NO_TIME) for text in self._threads.values())
        return newest_first(found)[:limit]

    def _record(self, thread_id: str) -> Record:
        text = self._threads.get(thread_id)
        return Record.empty(thread_id) if text is None else decode_record(text)
