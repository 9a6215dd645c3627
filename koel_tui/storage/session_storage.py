"""What a storage is: threads by id, each with its state and what is known about it."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol

from koel_tui.protocol import ChatState


@dataclass(frozen=True, slots=True)
class Access:
    """Whether an opened thread may be written; if not, who holds it and why in a sentence.

    `holder_pid` is None where it is not known.
    """

    writable: bool
    holder_pid: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """A saved thread as a list shows it.

    `title` falls back to the first words of the first user message and may be empty. `created`
    and `updated` are UTC, `messages` counts them, `model` may be empty, `preview` is the start of
    the last message on one line. Texts are as they came: not fit for a terminal.
    """

    id: str
    title: str
    created: datetime
    updated: datetime
    messages: int
    model: str
    preview: str


class SessionStorage(Protocol):
    """Where threads are kept. Any string is a thread id.

    What cannot be read or written raises `StorageError`, an error of I/O among it; which thread,
    why and what to do is in its message. Nothing blocks the event loop.
    """

    async def open(self, thread_id: str) -> Access:
        """Hold the thread for writing until it is closed, unless somebody else does.

        One that is not held is held for each write; where somebody else holds it, a write raises
        `ThreadLockedError` and changes nothing.
        """
        ...

    async def close(self, thread_id: str) -> None:
        """Let others write the thread; one that is not open is fine."""
        ...

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Keep `state` as the thread's newest; what is known about the thread stays.

        Calls for one thread take effect in the order they were made.
        """
        ...

    async def save_conflict(self, thread_id: str, state: ChatState) -> None:
        """Keep a `state` that is not the thread's newest where it replaces nothing."""
        ...

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state ready to be shown, or None when there is none."""
        ...

    async def delete(self, thread_id: str) -> None:
        """Forget the thread for good; one that is absent is fine."""
        ...

    async def trash(self, thread_id: str) -> None:
        """Throw the thread away, in place of an older one of its id; an absent one is fine."""
        ...

    async def restore(self, thread_id: str) -> None:
        """Take a thread back from the trash.

        Raises `StorageError` when it is not there, or when there is a thread of its id.
        """
        ...

    async def trashed(self) -> list[Summary]:
        """Return the threads in the trash, the one thrown away last first."""
        ...

    async def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
        """Forget for good what has been in the trash so long; return how many threads went."""
        ...

    async def list_threads(self) -> list[str]:
        """Return the ids of the saved threads in a fresh list."""
        ...

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        """Set what is known about a thread: title, model, sampling, system, parent, and more.

        Values are JSON; None removes a field. An absent thread is made, without messages.
        """
        ...

    async def meta(self, thread_id: str) -> dict[str, Any]:
        """Return what is known about a thread, in a fresh dict; empty when it is absent."""
        ...

    async def summaries(self, limit: int | None = None) -> list[Summary]:
        """Return the saved threads, the one changed last first; with a limit only so many.

        The first screen of a long list is there sooner with a limit.
        """
        ...
