"""The metrics of a thread: of the last answer, earlier answers and the current one."""

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from koel_tui.conversation.activity import TokenRate
from koel_tui.conversation.turn_metrics import TurnMetrics, figures_of

if TYPE_CHECKING:
    from koel_tui.protocol import Event, Message

_KEPT = 200


class ThreadMetrics:
    """The saved and the live metrics of one thread."""

    def __init__(self) -> None:
        self.last = TurnMetrics()
        """Metrics of the last answer; for a restored one only those independent of the model."""
        self.turns: tuple[TurnMetrics, ...] = ()
        """The metrics of the latest answers, oldest first."""
        self.now = False
        """Whether an answer was completed since the thread was opened."""
        self.pace = TokenRate()
        """The decode rate of the current answer."""

    def recall(self, messages: "Iterable[Message]") -> None:
        """Restore the metrics saved with messages."""
        saved = (figures_of(message.usage) for message in messages)
        self.turns = tuple(filter(None, saved))[-_KEPT:]
        last = self.turns[-1] if self.turns else TurnMetrics()
        # The next answer may come from another model with another context size.
        self.last = TurnMetrics(used=last.used, trimmed_turns=last.trimmed_turns)

    def begin(self) -> None:
        """Reset the decode rate for the next answer."""
        self.pace = TokenRate()

    def hear(self, event: "Event") -> bool:
        """Update the metrics from an event; return whether the event concerns them."""
        from ag_ui.core import CustomEvent, TextMessageContentEvent

        from koel_tui.agents import METRICS, tokens_of

        if isinstance(event, TextMessageContentEvent):
            self.pace.tick(monotonic(), tokens_of(event))
            return True
        if not isinstance(event, CustomEvent) or event.name != METRICS:
            return False
        if (figures := figures_of(event.value)) is not None:
            self.last, self.now = figures, True
            self.turns = (*self.turns, figures)[-_KEPT:]
        return True
