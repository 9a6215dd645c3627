"""Figures that an answer measured, read from an event or a saved message. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

_ENDLESS = 1e15


@dataclass(frozen=True, slots=True)
class Figures:
    """What an answer of a thread measured.

    Of the tokens `read`, `reused` were known from before; `used` are those read and written.
    """

    model: str = ""
    used: int = 0
    window: int = 0
    tokens_per_s: float = 0.0
    trimmed_turns: int = 0
    read: int = 0
    reused: int = 0
    written: int = 0
    first_token_s: float = 0.0

    @property
    def took_s(self) -> float:
        """Seconds from the beginning of the turn to its last token."""
        after_first = max(0, self.written - 1)
        return self.first_token_s + (after_first / self.tokens_per_s if self.tokens_per_s else 0.0)


def figures_of(value: object) -> Figures | None:
    """Return the figures in the value of a METRICS event; None for one this is not."""
    if not isinstance(value, Mapping):
        return None
    read, written = _count(value.get("prompt_tokens")), _count(value.get("output_tokens"))
    return Figures(
        model=str(value.get("model") or ""),
        used=read + written,
        window=_count(value.get("context_tokens")),
        tokens_per_s=max(0.0, number_of(value.get("decode_tokens_per_s"))),
        trimmed_turns=_count(value.get("trimmed_turns")),
        read=read,
        reused=_count(value.get("reused_tokens")),
        written=written,
        first_token_s=max(0.0, number_of(value.get("time_to_first_token_s"))),
    )


def number_of(value: object) -> float:
    """Return a number of an event or a saved message; 0 for any other value."""
    return float(value) if isinstance(value, int | float) and abs(value) < _ENDLESS else 0.0


def _count(value: object) -> int:
    return max(0, int(number_of(value)))
