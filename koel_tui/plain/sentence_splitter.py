"""Splitting of streamed text into lines and sentences for a screen reader. No I/O."""

import re
from collections.abc import Iterator

_SENTENCE_END = re.compile(
    r"""[.!?\u2026]["'\u201d\u2019)\]*_]*[ \t]+"""
    r"|[\u3002\uff01\uff1f][\u300d\u300f\uff09]*"  # Chinese and Japanese
)
_FENCES = ("```", "~~~")
_MIN_SENTENCE = 40
"""Minimum length of a sentence on a separate line; `1.` is not a sentence."""
_MAX_LINE = 1000


class SentenceSplitter:
    """A splitter that yields complete lines and complete sentences; code only by whole lines."""

    def __init__(self) -> None:
        self._rest = ""
        self._in_code = False
        self._at_line_start = True

    def add(self, text: str) -> Iterator[str]:
        """Add text and yield the lines and sentences that are complete."""
        text = self._rest + text
        at = 0
        while end := self._end(text, at):
            yield text[at:end].rstrip()
            at = end
        self._rest = text[at:]

    def finish(self) -> Iterator[str]:
        """Yield the remaining text at the end of the stream."""
        rest, self._rest = self._rest.rstrip(), ""
        if rest:
            yield rest

    def _end(self, text: str, at: int) -> int:
        """Return the end of the line or sentence that starts at `at`, or 0 if it is incomplete."""
        limit = min(len(text), at + _MAX_LINE)
        newline = text.find("\n", at, limit)
        upto = limit if newline < 0 else newline
        marks_code = self._at_line_start and text[at:upto].lstrip().startswith(_FENCES)
        if not (self._in_code or marks_code):
            sentence = _SENTENCE_END.search(text, at + _MIN_SENTENCE, upto)
            if sentence is not None:
                self._at_line_start = False
                return sentence.end()
        if newline >= 0:
            self._in_code ^= marks_code
            self._at_line_start = True
            return newline + 1
        if upto - at < _MAX_LINE:
            return 0
        self._at_line_start = False
        return text.rfind(" ", at + _MIN_SENTENCE, upto) + 1 or upto
