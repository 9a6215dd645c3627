"""The stats panel of the active thread."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from koel_tui.ui.conversation.stats import ThreadStats, info_text
from koel_tui.ui.keys.key_table import leaving
from koel_tui.ui.widgets.panel import Panel

if TYPE_CHECKING:
    from koel_tui.agents import MemoryUse
    from koel_tui.conversation.conversation import Conversation
    from koel_tui.workspace.runtime import Runtime

_INTERVAL = 1.0
_NOT_LOADED = "not loaded"


class StatsPanel(Panel[None]):
    """Shows the metrics of a thread's answers and the memory use of its model; refreshes itself."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,enter", "dismiss", "Leave"),
        leaving("figures"),
    ]

    def __init__(self, conversation: "Conversation", startup: "Runtime") -> None:
        super().__init__()
        self._conversation = conversation
        self._startup = startup
        self._info = ThreadStats()
        self._memory: MemoryUse | str = "…"
        self._words = Static()
        self._panel = VerticalScroll(self._words, id="panel")

    def compose(self) -> ComposeResult:
        """Yield the scrollable statistics."""
        yield self._panel

    def on_mount(self) -> None:
        """Set the title and the closing hint, and start refreshing."""
        self._panel.border_title = "Figures"
        self._panel.border_subtitle = "esc leaves"
        self.run_worker(self._watch())

    def on_resize(self, event: events.Resize) -> None:
        """Render the statistics for the new width."""
        self.call_after_refresh(self._write)

    async def _watch(self) -> None:
        while True:
            self._look()
            self._memory = await self._asked()
            self._look()
            await asyncio.sleep(_INTERVAL)

    async def _asked(self) -> "MemoryUse | str":
        """Return the memory use of the model, or the reason why it is unknown."""
        if self._startup.backend is None:
            return _NOT_LOADED
        from koel_tui.agents import memory_of

        try:
            return await memory_of(self._startup.backend.agent) or _NOT_LOADED
        except Exception as error:  # any backend error; the other statistics stay visible
            return str(error) or type(error).__name__

    def _look(self) -> None:
        info = replace(info_of(self._conversation, self._startup), memory=self._memory)
        if info != self._info:
            self._info = info
            self._write()

    def _write(self) -> None:
        self._words.update(info_text(self._info, self._panel.scrollable_content_region.width))


def info_of(conversation: "Conversation", startup: "Runtime") -> ThreadStats:
    """Return the statistics that are known without a request to the model."""
    figures = conversation.metrics.last
    now = conversation.activity.status_text
    speed = conversation.tokens_per_s
    return ThreadStats(
        model=figures.model or startup.model,
        window=figures.context_tokens or startup.context_tokens,
        now=f"{now}, {speed:.0f} tokens/s" if now and speed else now or startup.status_text,
        turns=conversation.metrics.turns,
    )
