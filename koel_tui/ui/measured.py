"""What the answers of one thread measured: the last one, those before, the one being written."""

from collections.abc import Iterable
from time import monotonic
from typing import TYPE_CHECKING

from koel_tui.figures import Figures, figures_of
from koel_tui.ui.activity import Pace

if TYPE_CHECKING:
    from koel_tui.protocol import Event, Message

_KEPT = 200


class Measured:
    """The figures of a thread, as they were saved and as they come."""

    def __init__(self) -> None:
        self.last = Figures()
        """Those of the last answer; of one that was saved only what holds for any model."""
        self.turns: tuple[Figures, ...] = ()
        """Those of the last answers, the newest last."""
        self.now = False
        """Whether an answer was finished since the thread was opened."""
        self.pace = Pace()
        """How fast the answer being written comes."""

    def recall(self, messages: "Iterable[Message]") -> None:
        """Take what is saved with messages."""
        saved = (figures_of(message.usage) for message in messages)
        self.turns = tuple(filter(None, saved))[-_KEPT:]
        last = self.turns[-1] if self.turns else Figures()
        # Which model answers next, with which window, is not up to the one that did.
        self.last = Figures(used=last.used, trimmed_turns=last.trimmed_turns)

    def begin(self) -> None:
        """Measure another answer."""
        self.pace = Pace()

    def hear(self, event: "Event") -> bool:
        """Take what an event says of figures or of speed; say whether it is such an event."""
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
