"""The send queue of one thread. Pure."""

from collections.abc import Iterator

from koel_tui import limits


class SendQueue:
    """Texts queued while an answer is generated, in first-in, first-out order."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._texts))

    def __len__(self) -> int:
        return len(self._texts)

    def refusal_reason(self, text: str) -> str:
        """Return why a text cannot be queued; empty if it can."""
        if len(self) >= limits.MAX_QUEUED:
            return f"{limits.MAX_QUEUED} messages are queued already. Send this one later."
        if len(text) <= limits.MAX_MESSAGE_CHARACTERS:
            return ""
        return limits.too_long_message("The message", len(text), limits.MAX_MESSAGE_CHARACTERS)

    def add(self, text: str) -> None:
        """Append a text to the queue."""
        self._texts.append(text)

    def pop(self) -> str:
        """Remove and return the next text. Raises `IndexError` if the queue is empty."""
        return self._texts.pop(0)

    def push_front(self, text: str) -> None:
        """Put a text back at the front of the queue."""
        self._texts.insert(0, text)

    def remove(self, text: str) -> bool:
        """Remove a text; return whether it was still queued."""
        was_queued = text in self._texts
        if was_queued:
            self._texts.remove(text)
        return was_queued

    def drain(self) -> str:
        """Empty the queue; return its texts joined with an empty line between them."""
        texts, self._texts = self._texts, []
        return "\n\n".join(texts)
