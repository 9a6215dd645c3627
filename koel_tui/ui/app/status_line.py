"""The status line: activity at the left, model statistics and save state at the right."""

from dataclasses import dataclass

from rich.cells import cell_len
from textual import events
from textual.content import Content
from textual.widgets import Static

from koel_tui import formatting
from koel_tui.conversation.conversation import Conversation
from koel_tui.text import safe_line
from koel_tui.workspace.runtime import Runtime


@dataclass(frozen=True, slots=True)
class Status:
    """The contents of the status line; empty or zero fields are not shown."""

    activity: str = ""
    model: str = ""
    used: int = 0
    context_tokens: int = 0
    tokens_per_s: float = 0.0
    saved: str = ""
    alert: str = ""

    def render(self, width: int) -> Content:
        """Return the line for `width` cells; the least important parts are dropped first."""
        left = formatting.truncate(safe_line(self.activity), width)
        if self.alert:
            alert = formatting.truncate(safe_line(self.alert), width)
            room = width - cell_len(alert) - 1
            left = formatting.truncate(left, room) if room > 0 else ""
            gap = " " * max(0, width - cell_len(left) - cell_len(alert))
            return Content.assemble(left, gap, (alert, "bold $text-error"))
        right = self._metrics(width - cell_len(left) - 2)
        gap = " " * max(0, width - cell_len(left) - cell_len(right))
        return Content.assemble((left, "bold"), gap, (right, "$foreground 60%"))

    def _metrics(self, room: int) -> str:
        model = safe_line(self.model)
        used, size = map(formatting.format_tokens, (self.used, self.context_tokens))
        context = f"ctx {used}/{size}" if self.context_tokens else ""
        meter = (
            f"{context} {formatting.progress_bar(self.used / self.context_tokens)}"
            if self.context_tokens
            else ""
        )
        speed = f"{self.tokens_per_s:.0f} tok/s" if self.tokens_per_s else ""
        # Each choice shows less than the one before it.
        for parts in (
            (model, meter, speed, self.saved),
            (formatting.truncate(model, 20), meter, speed, self.saved),
            (formatting.truncate(model, 12), context, speed, self.saved),
            (context, speed, self.saved),
            (context, self.saved),
            (self.saved,),
        ):
            line = " · ".join(part for part in parts if part)
            if cell_len(line) <= room:
                return line
        return ""


def status_for(
    conversation: Conversation,
    runtime: Runtime,
    hint: str,
    background_job: str = "",
    download: str = "",
) -> Status:
    """Return the status line of the active conversation; `hint` takes precedence over its activity.

    `background_job` describes the background job, `download` the download of a model.
    """
    metrics = conversation.metrics.last
    problem = conversation.save_problem
    return Status(
        activity=hint
        or runtime.status_text
        or conversation.activity.status_text
        or background_job
        or download
        or runtime.idle_text,
        model=metrics.model or runtime.model_name,
        used=metrics.used_tokens,
        context_tokens=metrics.context_tokens or runtime.context_tokens,
        tokens_per_s=conversation.tokens_per_s,
        saved=_save_state(conversation),
        alert=_alert_text(problem, runtime, download),
    )


def _save_state(conversation: Conversation) -> str:
    # A streaming answer is saved every second; showing each save would make the line flicker.
    if conversation.is_busy or not conversation.entries():
        return ""
    return "saving…" if conversation.is_unsaved else "saved"


def _alert_text(save_problem: object, runtime: Runtime, download: str) -> str:
    if save_problem:
        return "NOT SAVED"  # the banner gives the reason
    # The progress of a download needs the space, and a new model solves the problem.
    return runtime.short_alert if download else runtime.alert


class StatusLine(Static):
    """One line of fixed height, so that a change repaints it without a layout pass."""

    def __init__(self, status: Status) -> None:
        super().__init__(id="status")
        self._status = status

    def show(self, status: Status) -> None:
        """Show `status` if it differs from the current one."""
        if status != self._status:
            self._status = status
            self._paint()

    def on_resize(self, event: events.Resize) -> None:
        """Render the line for the new width."""
        self._paint()

    def _paint(self) -> None:
        self.update(self._status.render(self.content_size.width), layout=False)
