"""The metrics of one turn, parsed from an event or a saved message. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

_MAX_NUMBER = 1e15


@dataclass(frozen=True, slots=True)
class TurnMetrics:
    """The metrics of one answer.

    `reused_tokens` are the prompt tokens already in the KV cache, `used_tokens` the prompt and
    output tokens together. `context_tokens` is the context size.
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

    @property
    def duration_s(self) -> float:
        """The seconds from the start of the turn to its last token."""
        after_first = max(0, self.output_tokens - 1)
        return self.first_token_s + (after_first / self.tokens_per_s if self.tokens_per_s else 0.0)


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
    )


def parse_number(value: object) -> float:
    """Convert a value of an event or a saved message to a number; 0 if it is not a number."""
    return float(value) if isinstance(value, int | float) and abs(value) < _MAX_NUMBER else 0.0


def _parse_count(value: object) -> int:
    return max(0, int(parse_number(value)))
