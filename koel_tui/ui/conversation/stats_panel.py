"""The stats panel of the active thread."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from koel_tui.ui.conversation.stats import ThreadStats, format_stats
from koel_tui.ui.internals import at_position_of
from koel_tui.ui.keys.key_table import close_binding
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
        Binding(f"escape,{at_position_of('q')},enter", "dismiss", "Close"),
        close_binding("figures"),
    ]

    def __init__(self, conversation: "Conversation", runtime: "Runtime") -> None:
        super().__init__()
        self._conversation = conversation
        self._runtime = runtime
        self._stats = ThreadStats()
        self._memory: MemoryUse | str = "…"
        self._body = Static()
        self._panel = VerticalScroll(self._body, id="panel")

    def compose(self) -> ComposeResult:
        """Yield the scrollable statistics."""
        yield self._panel

    def on_mount(self) -> None:
        """Set the title and the closing hint, and start refreshing."""
        self._panel.border_title = "Statistics"
        self._panel.border_subtitle = "esc closes"
        self.run_worker(self._refresh_periodically())

    def on_resize(self, event: events.Resize) -> None:
        """Render the statistics for the new width."""
        self.call_after_refresh(self._update_text)

    async def _refresh_periodically(self) -> None:
        while True:
            self._update_stats()
            self._memory = await self._request_memory()
            self._update_stats()
            await asyncio.sleep(_INTERVAL)

    async def _request_memory(self) -> "MemoryUse | str":
        """Return the memory use of the model, or the reason why it is unknown."""
        if self._runtime.backend is None:
            return _NOT_LOADED
        from koel_tui.agents import memory_of

        try:
            return await memory_of(self._runtime.backend.agent) or _NOT_LOADED
        except Exception as error:  # any backend error; the other statistics stay visible
            return str(error) or type(error).__name__

    def _update_stats(self) -> None:
        stats = replace(thread_stats(self._conversation, self._runtime), memory=self._memory)
        if stats != self._stats:
            self._stats = stats
            self._update_text()

    def _update_text(self) -> None:
        self._body.update(format_stats(self._stats, self._panel.scrollable_content_region.width))


def thread_stats(conversation: "Conversation", runtime: "Runtime") -> ThreadStats:
    """Return the statistics that are known without a request to the model."""
    last_turn = conversation.metrics.last
    return ThreadStats(
        model=last_turn.model or runtime.model_name,
        context_tokens=last_turn.context_tokens or runtime.context_tokens,
        now=_current_activity(conversation) or runtime.status_text,
        turns=conversation.metrics.turns,
    )


def _current_activity(conversation: "Conversation") -> str:
    """Return the activity of a run with its speed, if known; empty when idle."""
    activity_text = conversation.activity.status_text
    speed = conversation.tokens_per_s
    return f"{activity_text}, {speed:.0f} tokens/s" if activity_text and speed else activity_text
