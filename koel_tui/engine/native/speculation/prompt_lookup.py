"""Prompt lookup: an answer that repeats earlier text is predicted from what followed that text."""

from collections.abc import Callable, Sequence

_KEY_TOKENS = 3
"""The number of equal tokens at which a repetition is found."""
MAX_MATCH = 64
"""The most equal tokens that are counted."""
_CHECKED_TOKENS = 4096
"""The number of tokens that are indexed between two checks for a stop: some milliseconds."""


class PromptLookup:
    """Finds the latest earlier place in a list of tokens that is equal to its end.

    Each token costs the same, however long the list is.
    """

    def __init__(self, tokens: Sequence[int], check: Callable[[], None] = lambda: None) -> None:
        """`tokens` is the prompt; the caller appends the tokens of the answer to the same list.

        `check` is called often while the prompt is indexed, and may raise to abort that.
        """
        self._tokens = tokens
        self._followers: dict[tuple[int, ...], int] = {}  # the index after the latest such tokens
        self._indexed = 0
        self._source: int | None = None  # the index of the token that is expected next
        self._match = 0
        for end in range(0, len(tokens), _CHECKED_TOKENS):
            check()
            self._update(end)
        self._update(len(tokens))

    @property
    def match(self) -> int:
        """The number of tokens at the end that are equal to earlier ones, at most `MAX_MATCH`."""
        self._update(len(self._tokens))
        return self._match

    def draft(self, count: int) -> list[int]:
        """Return the `count` tokens that follow if the repetition continues; [] if there is none.

        A repetition that overlaps its source is continued with the drafted tokens themselves.
        """
        self._update(len(self._tokens))
        draft: list[int] = []
        if self._source is not None:
            length = len(self._tokens)
            for index in range(self._source, self._source + count):
                draft.append(self._tokens[index] if index < length else draft[index - length])
        return draft

    def _update(self, end: int) -> None:
        """Index the tokens before `end` that are not indexed yet."""
        tokens = self._tokens
        for index in range(self._indexed, end):
            if self._source is not None and tokens[self._source] == tokens[index]:
                self._source += 1
                self._match = min(self._match + 1, MAX_MATCH)
            else:
                self._source, self._match = None, 0
            key = tuple(tokens[max(0, index + 1 - _KEY_TOKENS) : index + 1])
            if len(key) < _KEY_TOKENS:
                continue
            if self._source is None:
                self._source = self._followers.get(key)
                self._match = self._count_match(index)
            self._followers[key] = index + 1
        self._indexed = end

    def _count_match(self, index: int) -> int:
        """Return how many tokens up to `index` are equal to those before the source."""
        if self._source is None:
            return 0
        count = _KEY_TOKENS
        limit = min(self._source, MAX_MATCH)
        while count < limit and (
            self._tokens[self._source - 1 - count] == self._tokens[index - count]
        ):
            count += 1
        return count
