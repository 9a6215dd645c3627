"""The metrics of one turn and of a thread: tokens, times and rates."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from koel_tui.protocol import Event, Message

_MAX_TURNS = 200
_MAX_NUMBER = 1e15


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """The metrics of one answer.

    `reused_tokens` are the prompt tokens already in the KV cache, `used_tokens` the prompt and
    output tokens together. `context_tokens` is the context size. `notice` is a sentence of the
    agent about its model, '' if there is none; it is not saved.
    """

    model: str = ""
    used_tokens: int = 0
    context_tokens: int = 0
    tokens_per_s: float = 0.0
    trimmed_turns: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0
    output_tokens: int = 0
    first_token_s: float = 0.0
    notice: str = ""

    @property
    def duration_s(self) -> float:
        """The seconds from the start of the turn to its last token."""
        after_first = max(0, self.output_tokens - 1)
        return self.first_token_s + (after_first / self.tokens_per_s if self.tokens_per_s else 0.0)


class TokenRate:
    """The decode rate of one answer: tokens divided by elapsed time."""

    _MIN_TOKENS = 10

    def __init__(self) -> None:
        self._tokens = 0
        self._started_at: float | None = None
        self._last_at = 0.0

    def add(self, now: float, tokens: int = 1) -> None:
        """Count tokens received at `now`, in seconds on any clock."""
        if self._started_at is None:
            self._started_at = now  # not counted: their start time is unknown
        else:
            self._tokens += tokens
        self._last_at = now

    @property
    def per_s(self) -> float:
        """Tokens per second; 0 until enough tokens are counted."""
        elapsed = self._last_at - (self._started_at or 0.0)
        return self._tokens / elapsed if self._tokens >= self._MIN_TOKENS and elapsed > 0 else 0.0


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

    def load_saved(self, messages: "Sequence[Message]") -> None:
        """Restore the metrics saved with messages."""
        newest_first = (parse_metrics(message.usage) for message in reversed(messages))
        self.turns = tuple(islice(filter(None, newest_first), _MAX_TURNS))[::-1]
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


def parse_metrics(value: object) -> TurnMetrics | None:
    """Parse the value of a METRICS event. Return None if it is invalid."""
    if not isinstance(value, Mapping):
        return None
    read, written = (
        _parse_count(value.get("prompt_tokens")),
        _parse_count(value.get("output_tokens")),
    )
    return TurnMetrics(
        model=str(value.get("model") or ""),
        used_tokens=read + written,
        context_tokens=_parse_count(value.get("context_tokens")),
        tokens_per_s=max(0.0, parse_number(value.get("decode_tokens_per_s"))),
        trimmed_turns=_parse_count(value.get("trimmed_turns")),
        prompt_tokens=read,
        reused_tokens=_parse_count(value.get("reused_tokens")),
        output_tokens=written,
        first_token_s=max(0.0, parse_number(value.get("time_to_first_token_s"))),
        notice=str(value.get("notice") or ""),
    )


def parse_number(value: object) -> float:
    """Convert a value of an event or a saved message to a number; 0 if it is not a number."""
    return float(value) if isinstance(value, int | float) and abs(value) < _MAX_NUMBER else 0.0


def _parse_count(value: object) -> int:
    return max(0, int(parse_number(value)))
