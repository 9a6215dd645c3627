"""The metrics of a thread: of the last answer, earlier answers and the current one."""

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from koel_tui.conversation.activity import TokenRate
from koel_tui.conversation.turn_metrics import TurnMetrics, parse_metrics

if TYPE_CHECKING:
    from koel_tui.protocol import Event, Message

_MAX_TURNS = 200


class ThreadMetrics:
    """The saved and the live metrics of one thread."""

    def __init__(self) -> None:
        self.last = TurnMetrics()
        """Metrics of the last answer; for a restored one only those independent of the model."""
        self.turns: tuple[TurnMetrics, ...] = ()
        """The metrics of the latest answers, oldest first."""
        self.has_live_answer = False
        """True if an answer was completed since the thread was opened."""
        self.decode_rate = TokenRate()
        """The decode rate of the current answer."""

    def load_saved(self, messages: "Iterable[Message]") -> None:
        """Restore the metrics saved with messages."""
        saved = (parse_metrics(message.usage) for message in messages)
        self.turns = tuple(filter(None, saved))[-_MAX_TURNS:]
        last = self.turns[-1] if self.turns else TurnMetrics()
        # The next answer may come from another model with another context size.
        self.last = TurnMetrics(used_tokens=last.used_tokens, trimmed_turns=last.trimmed_turns)

    def start_answer(self) -> None:
        """Reset the decode rate for the next answer."""
        self.decode_rate = TokenRate()

    def on_event(self, event: "Event") -> bool:
        """Update the metrics from an event; return whether it reports those of an answer."""
        from ag_ui.core import CustomEvent, TextMessageContentEvent

        from koel_tui.agents import METRICS, tokens_of

        if isinstance(event, TextMessageContentEvent):
            self.decode_rate.add(monotonic(), tokens_of(event))
            return False
        if not isinstance(event, CustomEvent) or event.name != METRICS:
            return False
        if (metrics := parse_metrics(event.value)) is not None:
            self.last, self.has_live_answer = metrics, True
            self.turns = (*self.turns, metrics)[-_MAX_TURNS:]
        return True
