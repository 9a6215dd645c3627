"""The metadata of a thread: its title and settings."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from koel_tui.agents import Agent
    from koel_tui.conversation.backend import Backend
    from koel_tui.protocol import TurnSettings
    from koel_tui.session import ChatSession, ThreadSettings


class ThreadMeta:
    """The title of a thread, which may be empty, and its settings for answers."""

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.settings: ThreadSettings | None = None
        self._is_saved = True

    @property
    def is_empty(self) -> bool:
        """True if the thread has neither title nor settings."""
        settings = self.settings
        return not self.title and (settings is None or settings == type(settings)())

    def load(self, meta: Mapping[str, Any]) -> None:
        """Restore title and settings from saved metadata."""
        from koel_tui.session import ThreadSettings

        title = meta.get("title")
        self.title = title if isinstance(title, str) else ""
        self.settings = ThreadSettings.of_meta(meta)

    def update(self, title: str, settings: "ThreadSettings | None") -> None:
        """Set title and settings, and mark them as unsaved."""
        self.title, self.settings, self._is_saved = title, settings, False

    def copy(self, title: str) -> "ThreadMeta":
        """Return a copy for a new thread with another title."""
        copy = ThreadMeta()
        copy.update(title, self.settings)
        return copy

    @property
    def unusable_settings(self) -> tuple[str, ...]:
        """The names of the settings whose saved values are invalid."""
        return () if self.settings is None else self.settings.unusable_names

    @property
    def has_own_model(self) -> bool:
        """True if the thread uses another model than the program."""
        return self.settings is not None and self.settings.model is not None

    def turn_settings(self, defaults: "TurnSettings") -> "TurnSettings":
        """Return the settings of the next turn; unset ones come from `defaults`."""
        return defaults if self.settings is None else self.settings.turn_settings(defaults)

    def select_agent(self, agent: "Agent") -> "Agent":
        """Return the agent with the model and the LoRA adapter of the thread."""
        from koel_tui.agents import agent_for

        if self.settings is None:
            return agent_for(agent, None, None)
        return agent_for(agent, self.settings.model, self.settings.lora)

    def apply_to(self, session: "ChatSession", backend: "Backend") -> None:
        """Set the turn settings and the agent of a session's next runs."""
        session.settings = self.turn_settings(backend.defaults)
        session.agent = self.select_agent(backend.agent)

    async def save(self, session: "ChatSession") -> None:
        """Save the metadata with the thread if it has changed. Raises the errors of the storage."""
        if self._is_saved or session.disposed:
            return
        self._is_saved = True
        try:
            meta = {} if self.settings is None else self.settings.meta
            await session.describe(**{**meta, "title": self.title or None})
        except Exception:
            self._is_saved = False
            raise
