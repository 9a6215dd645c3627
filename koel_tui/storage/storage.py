"""What a storage is: threads by id, each with its state and what is known about it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from koel_tui.protocol import ChatState


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
    """Where threads are kept. Any string is a thread id. I/O errors raise `StorageError`."""

    async def save(self, thread_id: str, state: ChatState) -> None:
        """Keep `state` as the thread's newest; what is known about the thread stays.

        Calls for one thread take effect in the order they were made.
        """
        ...

    async def load(self, thread_id: str) -> ChatState | None:
        """Return the thread's state ready to be shown, or None when there is none."""
        ...

    async def delete(self, thread_id: str) -> None:
        """Forget the thread; one that is absent is fine."""
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

    async def summaries(self) -> list[Summary]:
        """Return the saved threads, the one changed last first."""
        ...
