"""The storage interface: threads by id, each with its state and metadata."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Protocol, runtime_checkable

from koel_tui.protocol import ChatState


@dataclass(frozen=True, slots=True)
class Access:
    """The result of opening a thread.

    If it is not `writable`, `holder_pid` is the process that holds it, None if unknown, and
    `reason` is a sentence for the user.
    """

    writable: bool
    holder_pid: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """The list entry of a saved thread.

    `title` falls back to the first words of the first user message and may be empty. `created`
    and `updated` are UTC, `messages` is their number, `model` may be empty, `preview` is the start
    of the last message on one line. Texts are not sanitized for a terminal.
    """

    id: str
    title: str
    created: datetime
    updated: datetime
    messages: int
    model: str
    preview: str


class SessionStorage(Protocol):
    """Storage of threads. Any string is a valid thread id.

    Methods raise `StorageError` if a thread cannot be read or written, also for I/O errors; its
    message names the thread, the reason and the remedy. No method blocks the event loop.
    """

    async def open(self, thread_id: str) -> Access:
        """Acquire the thread's write lock until `close`, unless another process holds it.

        Without it, each write acquires the lock for itself; if another process holds it, the write
        raises `ThreadLockedError` and changes nothing.
        """
        ...

    async def close(self, thread_id: str) -> None:
        """Release the thread's write lock; do nothing if it is not open."""
        ...

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Save `state` as the thread's newest state; its metadata is kept.

        Calls for one thread take effect in the order in which they were made.
        """
        ...

    async def save_conflict(self, thread_id: str, state: ChatState) -> None:
        """Save a `state` that is not the thread's newest, without replacing anything."""
        ...

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state, ready to be shown; None if there is none."""
        ...

    async def delete(self, thread_id: str) -> None:
        """Delete the thread permanently; do nothing if it is absent."""
        ...

    async def trash(self, thread_id: str) -> None:
        """Move the thread to the trash, replacing one with its id; do nothing if it is absent."""
        ...

    async def restore(self, thread_id: str) -> None:
        """Restore a thread from the trash.

        Raises `StorageError` if it is not there, or if a saved thread has its id.
        """
        ...

    async def trashed(self) -> list[Summary]:
        """Return the threads in the trash, most recently trashed first."""
        ...

    async def empty_trash(self, older_than: timedelta = timedelta(0)) -> int:
        """Delete threads that were trashed at least `older_than` ago; return their number."""
        ...

    async def list_threads(self) -> list[str]:
        """Return the ids of the saved threads as a new list."""
        ...

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        """Update a thread's metadata: title, model, sampling, system, parent, and more.

        Values are JSON; None removes a field. An absent thread is created without messages.
        """
        ...

    async def meta(self, thread_id: str) -> dict[str, Any]:
        """Return a thread's metadata as a new dict; empty if the thread is absent."""
        ...

    async def summaries(self, limit: int | None = None) -> list[Summary]:
        """Return the saved threads, most recently changed first, at most `limit` of them.

        With a limit, the first screen of a long list is available sooner.
        """
        ...


@runtime_checkable
class ProgressStorage(Protocol):
    """An optional ability of a `SessionStorage`: saves while an answer is written, at low cost."""

    async def save_progress(self, thread_id: str, state: ChatState) -> None:
        """Save the state of an active run; all methods return it as after `save`.

        `save` follows when the run has ended. Raises what `save` raises.
        """
        ...
