"""What waits to be sent in one thread. Pure."""

from collections.abc import Iterator

from koel_tui import limits


class SendQueue:
    """Texts that wait while an answer is written, the next one first."""

    def __init__(self) -> None:
        self._texts: list[str] = []

    def __iter__(self) -> Iterator[str]:
        return iter(tuple(self._texts))

    def __len__(self) -> int:
        return len(self._texts)

    def refusal(self, text: str) -> str:
        """Return why a text is too much to wait here; empty when it is not."""
        if len(self) >= limits.QUEUED:
            return f"{limits.QUEUED} messages wait here already. Send this one when some are gone."
        if len(text) <= limits.MESSAGE_CHARACTERS:
            return ""
        return limits.too_much("The message", len(text), limits.MESSAGE_CHARACTERS)

    def add(self, text: str) -> None:
        """Let a text wait behind the others."""
        self._texts.append(text)

    def take(self) -> str:
        """Take out the text that is next. Raises IndexError where none waits."""
        return self._texts.pop(0)

    def put_back(self, text: str) -> None:
        """Make a text that was taken the next one again."""
        self._texts.insert(0, text)

    def remove(self, text: str) -> bool:
        """Take out this text; say whether it was still there."""
        waits = text in self._texts
        if waits:
            self._texts.remove(text)
        return waits

    def drain(self) -> str:
        """Take out everything, as one text with an empty line between two; empty without any."""
        texts, self._texts = self._texts, []
        return "\n\n".join(texts)
