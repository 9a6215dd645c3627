"""The number of prompt tokens in a step while other turns are being written."""

_STEP_S = 0.12
"""Time of such a step in seconds: it interrupts the answers."""
_MIN_DECODE_STEPS = 2
"""A step is at least as long as this many steps of the answers.

A model that needs longer than `_STEP_S` for a token would otherwise read one token at a time.
"""
_FIRST_TOKENS = 16
_MAX_GROWTH = 4.0


class PrefillBudget:
    """The number of prompt tokens that this machine reads in the time of a step.

    It follows the speed of the steps so far; the first one is small, because nothing is known.
    """

    def __init__(self) -> None:
        self._tokens_per_s = 0.0
        self._last_tokens = _FIRST_TOKENS
        self._decode_s = 0.0

    def tokens(self, limit: int) -> int:
        """Return the number of tokens of the next step, 1 to `limit`."""
        if not self._tokens_per_s:
            return min(_FIRST_TOKENS, limit)
        step_s = max(_STEP_S, _MIN_DECODE_STEPS * self._decode_s)
        # The speed of few tokens says little about that of many.
        tokens = min(self._tokens_per_s * step_s, self._last_tokens * _MAX_GROWTH)
        return max(1, min(int(tokens), limit))

    def record_prefill(self, tokens: int, seconds: float) -> None:
        """Learn from a step that read `tokens` prompt tokens."""
        if seconds <= 0:
            return
        speed = tokens / seconds
        # A lower speed counts at once, because a step that is too long delays the answers.
        old = self._tokens_per_s
        self._tokens_per_s = speed if speed < old or not old else (old + speed) / 2
        self._last_tokens = tokens

    def record_decode(self, seconds: float) -> None:
        """Learn from a step that decoded a token of each answer."""
        self._decode_s = seconds
