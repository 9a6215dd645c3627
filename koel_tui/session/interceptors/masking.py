"""Masking of texts, complete or streamed in pieces. Pure."""

import re
from collections.abc import Iterator, Sequence

MASK = "[REDACTED]"

Pattern = str | re.Pattern[str]
"""A literal string or a regular expression."""

_Span = tuple[int, int]


def mask_text(text: str, patterns: Sequence[Pattern]) -> str:
    """Return `text` with each match masked; overlapping matches share one mask."""
    return _apply_masks(text, _spans(text, patterns), 0, len(text))


class Masking:
    """Masks a streamed text; text that may still become part of a match is held back.

    A match of a regular expression is found across pieces up to `longest` characters.
    """

    def __init__(self, patterns: Sequence[Pattern], longest: int, before: str = "") -> None:
        """`before` is the text that the pieces continue and that was already returned."""
        self._patterns = patterns
        self._longest = longest
        self._text = before[-longest:]
        self._done = len(self._text)  # text before this was returned; kept to find matches

    def feed(self, piece: str) -> str:
        """Add `piece` and return the new text that no later match can change."""
        self._text += piece
        spans = [span for span in _spans(self._text, self._patterns) if span[1] > self._done]
        cut = self._held_back_from()
        for start, end in spans:
            if start < cut < end:  # the match may grow, or another may overlap it
                cut = start
        return self._release(spans, max(cut, self._done))

    def finish(self) -> str:
        """Return the remaining text."""
        spans = [span for span in _spans(self._text, self._patterns) if span[1] > self._done]
        return self._release(spans, len(self._text))

    def _held_back_from(self) -> int:
        """Return the index from which the text may still be part of a match."""
        size = len(self._text)
        first = size
        for pattern in self._patterns:
            if isinstance(pattern, str):
                start_at = max(self._done, size - len(pattern) + 1)
                candidates = (
                    position
                    for position in range(start_at, size)
                    if pattern.startswith(self._text[position:])
                )
                first = min(first, next(candidates, size))
            else:
                first = min(first, size - self._longest)
        return max(first, self._done)

    def _release(self, spans: list[_Span], cut: int) -> str:
        released = _apply_masks(self._text, spans, self._done, cut)
        dropped = max(0, cut - self._longest)
        self._text, self._done = self._text[dropped:], cut - dropped
        return released


def _spans(text: str, patterns: Sequence[Pattern]) -> list[_Span]:
    """Return the spans of all matches in order, overlapping ones merged."""
    found = sorted(span for pattern in patterns for span in _matches(text, pattern))
    spans: list[_Span] = []
    for start, end in found:
        if spans and start < spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _matches(text: str, pattern: Pattern) -> Iterator[_Span]:
    if isinstance(pattern, str):
        position = text.find(pattern)
        while position >= 0:
            yield position, position + len(pattern)
            position = text.find(pattern, position + 1)
    else:
        yield from (match.span() for match in pattern.finditer(text) if match.group())


def _apply_masks(text: str, spans: list[_Span], start: int, end: int) -> str:
    """Return `text[start:end]` with a mask for each span in it."""
    pieces, position = [], start
    for first, last in spans:
        if last <= start or first >= end:
            continue
        pieces += [text[position : max(first, position)], MASK]
        position = last
    return "".join((*pieces, text[position:end]))
