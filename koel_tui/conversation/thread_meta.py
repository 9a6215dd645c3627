"""What is known about a thread besides what was said in it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from koel_tui.agents import Agent
    from koel_tui.conversation.backend import Backend
    from koel_tui.protocol import TurnSettings
    from koel_tui.session import ChatSession, ThreadSettings


class ThreadMeta:
    """The title a thread was given, empty without one, and how it wants to be answered."""

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.settings: ThreadSettings | None = None
        self._saved = True

    @property
    def is_empty(self) -> bool:
        """Whether nobody said anything about the thread."""
        from koel_tui.session import ThreadSettings

        return not self.title and self.settings in (None, ThreadSettings())

    def read(self, meta: Mapping[str, Any]) -> None:
        """Take what is saved about the thread."""
        from koel_tui.session import ThreadSettings

        title = meta.get("title")
        self.title = title if isinstance(title, str) else ""
        self.settings = ThreadSettings.of_meta(meta)

    def change(self, title: str, settings: "ThreadSettings | None") -> None:
        """Take another title and other settings."""
        self.title, self.settings, self._saved = title, settings, False

    def copy(self, title: str) -> "ThreadMeta":
        """Return the same of a new thread, under another title."""
        copy = ThreadMeta()
        copy.change(title, self.settings)
        return copy

    @property
    def unusable(self) -> tuple[str, ...]:
        """The names of the settings whose saved values are not allowed."""
        return () if self.settings is None else self.settings.unusable_names

    @property
    def wants_model(self) -> bool:
        """Whether the thread wants another model than the program's own."""
        return self.settings is not None and self.settings.model is not None

    def turn_settings(self, defaults: "TurnSettings") -> "TurnSettings":
        """Return the settings of the next run, over the defaults of the program."""
        return defaults if self.settings is None else self.settings.turn_settings(defaults)

    def agent_of(self, agent: "Agent") -> "Agent":
        """Return the agent that answers with the model and the adapter the thread wants."""
        from koel_tui.agents import agent_for

        if self.settings is None:
            return agent_for(agent, None, None)
        return agent_for(agent, self.settings.model, self.settings.lora)

    def set_up(self, session: "ChatSession", backend: "Backend") -> None:
        """Give a session the settings and the agent of its next runs."""
        session.settings = self.turn_settings(backend.defaults)
        session.agent = self.agent_of(backend.agent)

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
