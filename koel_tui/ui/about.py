"""What is known about a thread besides what was said in it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from koel_tui.session import ChatSession, ThreadSettings


class About:
    """The title a thread was given, empty without one, and how it wants to be answered."""

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.settings: ThreadSettings | None = None
        self._saved = True

    @property
    def is_empty(self) -> bool:
        """Whether nobody said anything about the thread."""
        return not (self.title or self.forward)

    def read(self, meta: Mapping[str, Any]) -> None:
        """Take what is saved about the thread."""
        from koel_tui.session import ThreadSettings

        title = meta.get("title")
        self.title = title if isinstance(title, str) else ""
        self.settings = ThreadSettings.of_meta(meta)

    def change(self, title: str, settings: "ThreadSettings | None") -> None:
        """Take another title and other settings."""
        self.title, self.settings, self._saved = title, settings, False

    def copy(self, title: str) -> "About":
        """Return the same of a new thread, under another title."""
        copy = About()
        copy.change(title, self.settings)
        return copy

    @property
    def forward(self) -> Mapping[str, Any]:
        """What is to be sent with each run."""
        return {} if self.settings is None else self.settings.forward

    async def save(self, session: "ChatSession") -> None:
        """Save it with the thread unless it is. Raises what the storage raises."""
        if self._saved or session.disposed:
            return
        self._saved = True
        try:
            wanted = {} if self.settings is None else self.settings.meta
            await session.describe(**{**wanted, "title": self.title or None})
        except Exception:
            self._saved = False
            raise
