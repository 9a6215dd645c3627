"""The drafts of one answer: the time to draft, and the number of tokens."""

from koel_tui.engine.native.speculation.draft_costs import DraftCosts
from koel_tui.engine.native.speculation.prompt_lookup import MAX_MATCH, PromptLookup

_MIN_TOKENS, _MAX_TOKENS = 8, 32
"""The length of a draft: it doubles after each draft that was right."""
_MIN_MATCH = 8
"""The number of repeated tokens after which a draft is tried.

It doubles after each draft that has saved no time.
"""


class Drafter:
    """Drafts the next tokens of an answer that repeats earlier text."""

    def __init__(self, lookup: PromptLookup, costs: DraftCosts) -> None:
        self._lookup, self._costs = lookup, costs
        self._length = _MIN_TOKENS
        self._min_match = _MIN_MATCH

    def draft(self, limit: int) -> list[int]:
        """Return a draft of at most `limit` tokens; [] if it would probably not save time."""
        count = min(self._length, limit)
        if count < _MIN_TOKENS or self._min_match > MAX_MATCH:
            return []
        if self._lookup.match < self._min_match or not self._costs.allow_draft():
            return []
        return self._lookup.draft(count)

    def record(self, drafted: int, accepted: int) -> None:
        """Learn from a draft, of which `accepted` tokens were drawn."""
        is_whole = accepted == drafted
        self._length = min(self._length * 2, _MAX_TOKENS) if is_whole else _MIN_TOKENS
        if self._costs.has_saved_time(drafted, accepted):
            self._min_match = max(self._min_match // 2, _MIN_MATCH)
        else:
            self._min_match *= 2
