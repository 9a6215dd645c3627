"""The time of a step that decodes a draft, relative to a step that decodes one token."""

from collections import deque
from statistics import median

_RECENT_STEPS = 9
"""The number of steps of each kind whose median counts, so that a single slow step is ignored."""
_MIN_STEPS = 3
_ASSUMED_RATIO = 0.5
"""The relative time of each token of a draft, until `_MIN_STEPS` of each kind are measured."""
_MAX_RATIO = 0.9
"""The ratio above which not even a draft that is right saves a worthwhile time."""
_MIN_REFUSALS, _MAX_REFUSALS = 16, 256
"""Drafts that are refused until some are measured again, because the computer may be less busy.

The number doubles each time that they save nothing.
"""


class DraftCosts:
    """Measures both kinds of steps, for all answers of a model."""

    def __init__(self) -> None:
        self._single_s: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._draft_token_s: deque[float] = deque(maxlen=_RECENT_STEPS)
        self._ratio = _ASSUMED_RATIO  # of the times of a token: in a draft, and alone
        self._refusals = 0
        self._max_refusals = _MIN_REFUSALS

    def record_single(self, seconds: float) -> None:
        """Learn from a step that decoded one token of one answer."""
        self._single_s.append(seconds)

    def record_draft(self, tokens: int, seconds: float) -> None:
        """Learn from a step that decoded `tokens` tokens of one answer."""
        self._draft_token_s.append(seconds / tokens)
        if min(len(self._single_s), len(self._draft_token_s)) >= _MIN_STEPS:
            self._ratio = median(self._draft_token_s) / median(self._single_s)

    def allow_draft(self) -> bool:
        """Return whether to decode a draft now. It counts the drafts that are refused."""
        is_measured = len(self._draft_token_s) >= _MIN_STEPS
        if self._ratio <= _MAX_RATIO or not is_measured:
            if is_measured:
                self._max_refusals = _MIN_REFUSALS
            return True
        self._refusals += 1
        if self._refusals < self._max_refusals:
            return False
        self._refusals = 0
        self._max_refusals = min(self._max_refusals * 2, _MAX_REFUSALS)
        self._draft_token_s.clear()
        return True

    def has_saved_time(self, drafted: int, accepted: int) -> bool:
        """Return whether a draft of which `accepted` tokens were right has saved time."""
        return accepted + 1 >= (drafted + 1) * self._ratio
