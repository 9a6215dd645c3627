"""A storage that lasts as long as the program."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from koel_tui.protocol import ChatState
from koel_tui.protocol.codec import dumps
from koel_tui.storage.record import (
    Record,
    decode_record,
    encode_chat_state,
    encode_record,
    newest_first,
)
from koel_tui.storage.storage import Summary

_NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)


class MemoryStorage:
    """Keeps threads in memory, in the wire shape, so that nothing is shared with its users."""

    def __init__(self, *, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock
        self._threads: dict[str, str] = {}

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Keep `state` as the thread's newest; what is known about the thread stays."""
        header = self._record(thread_id).header.saved(self._clock())
        self._threads[thread_id] = encode_record(header, encode_chat_state(thread_id, state))

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state ready to be shown, or None when there is none."""
        return self._record(thread_id).chat_state() if thread_id in self._threads else None

    async def delete(self, thread_id: str) -> None:
        """Forget the thread; one that is absent is fine."""
        self._threads.pop(thread_id, None)

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

    async def summaries(self) -> list[Summary]:
        """Return the kept threads, the one changed last first."""
        return newest_first(
            decode_record(text).summary(_NO_TIME) for text in self._threads.values()
        )

    def _record(self, thread_id: str) -> Record:
        text = self._threads.get(thread_id)
        return Record.empty(thread_id) if text is None else decode_record(text)
