"""Where a run stands, read from the events of agents."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from koel_tui.figures import number_of

if TYPE_CHECKING:
    from koel_tui.protocol import Event

Phase = Literal["idle", "waiting", "loading", "queued", "reading", "thinking", "writing"]
_REPORTED: tuple[Phase, ...] = ("loading", "queued", "reading", "thinking", "writing")


@dataclass(frozen=True, slots=True)
class Activity:
    """What a thread is doing. `position` counts from 1 when queued, `fraction` is 0..1."""

    phase: Phase = "idle"
    position: int = 0
    fraction: float | None = None

    @property
    def percent(self) -> str:
        """The fraction as text with a space before it, or nothing when it is not known."""
        return "" if self.fraction is None else f" {self.fraction:.0%}".replace("%", " %")

    @property
    def words(self) -> str:
        """What to say of it in the status line; nothing when idle."""
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
    def mark(self) -> str:
        """The same in the few cells a tab has."""
        match self.phase:
            case "idle":
                return ""
            case "writing":
                return "⌛"
            case "queued":
                return f"queued {self.position}"
            case phase:
                return f"{phase}{self.percent}"


class Pace:
    """How fast text comes: the tokens of one answer by the time they took."""

    _ENOUGH = 10

    def __init__(self) -> None:
        self._tokens = 0
        self._began_at: float | None = None
        self._now = 0.0

    def tick(self, now: float, tokens: int = 1) -> None:
        """Count tokens that had come at `now`, in seconds of any clock."""
        if self._began_at is None:
            self._began_at = now  # what they took is not known
        else:
            self._tokens += tokens
        self._now = now

    @property
    def per_s(self) -> float:
        """Tokens a second; 0 until there are enough to tell."""
        took = self._now - (self._began_at or 0.0)
        return self._tokens / took if self._tokens >= self._ENOUGH and took > 0 else 0.0


def activity_after(event: "Event") -> Activity | None:
    """Return where a run stands after an event; None for one that says nothing of it."""
    from ag_ui.core import CustomEvent, TextMessageContentEvent

    from koel_tui.agents import ACTIVITY

    if isinstance(event, TextMessageContentEvent):
        return Activity("writing")
    if isinstance(event, CustomEvent) and event.name == ACTIVITY:
        return activity_of(event.value)
    return None


def activity_of(value: object) -> Activity | None:
    """Return the activity in the value of an ACTIVITY event; None for one this is not."""
    if not isinstance(value, Mapping):
        return None
    phase = next((known for known in _REPORTED if value.get("phase") == known), None)
    if phase is None:
        return None
    fraction = value.get("fraction")
    return Activity(
        phase,
        position=int(number_of(value.get("position"))),
        fraction=None if fraction is None else min(1.0, max(0.0, number_of(fraction))),
    )
