"""The phase and progress of a run, parsed from agent events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from koel_tui.conversation.metrics import parse_number

if TYPE_CHECKING:
    from koel_tui.protocol import Event

Phase = Literal["idle", "waiting", "loading", "queued", "reading", "thinking", "writing"]
_REPORTED_PHASES: tuple[Phase, ...] = ("loading", "queued", "reading", "thinking", "writing")


@dataclass(frozen=True, slots=True)
class Activity:
    """The phase of a run. `position` in the queue counts from 1, `fraction` is 0..1."""

    phase: Phase = "idle"
    position: int = 0
    fraction: float | None = None

    @property
    def percent(self) -> str:
        """The fraction as a percentage with a leading space; empty if unknown."""
        return "" if self.fraction is None else f" {self.fraction:.0%}"

    @property
    def status_text(self) -> str:
        """The text for the status line; empty when idle."""
        match self.phase:
            case "idle":
                return ""
            case "loading":
                return f"loading model{self.percent}"
            case "queued":
                return f"queued: {self.position} ahead"
            case phase:
                return f"{phase}{self.percent}"

    @property
    def tab_text(self) -> str:
        """The short text for a tab label; empty when idle."""
        match self.phase:
            case "idle":
                return ""
            case "writing":
                return "⌛"
            case "queued":
                return f"queued {self.position}"
            case phase:
                return f"{phase}{self.percent}"


def parse_event(event: "Event") -> Activity | None:
    """Return the activity that an event reports; None if it reports none."""
    from ag_ui.core import CustomEvent, TextMessageContentEvent

    from koel_tui.agents import ACTIVITY

    if isinstance(event, TextMessageContentEvent):
        return Activity("writing")
    if isinstance(event, CustomEvent) and event.name == ACTIVITY:
        return parse_activity(event.value)
    return None


def parse_activity(value: object) -> Activity | None:
    """Parse the value of an ACTIVITY event. Return None if it is invalid."""
    if not isinstance(value, Mapping):
        return None
    phase = next((known for known in _REPORTED_PHASES if value.get("phase") == known), None)
    if phase is None:
        return None
    fraction = value.get("fraction")
    return Activity(
        phase,
        position=int(parse_number(value.get("position"))),
        fraction=None if fraction is None else min(1.0, max(0.0, parse_number(fraction))),
    )
