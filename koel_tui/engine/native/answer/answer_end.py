"""Detection of the end of an answer: a turn marker written as text, or a stop string.

A chat template may use markers that the vocabulary lacks, for example ChatML on a base model. The
model then writes them as text. In a code span or a fenced block such text is an example and does
not end the answer. A marker that is a control token of the vocabulary ends an answer only as that
token.
"""

import re
from collections.abc import Callable, Sequence

from koel_tui.engine.errors import ChatTemplateError
from koel_tui.engine.native.answer.markdown_code import MAX_RUN, MarkdownCode, run_length
from koel_tui.engine.native.control_tokens import RenderedPrompt
from koel_tui.engine.types import ChatMessage

_TAG = re.compile(r"<[^<>\s]{1,60}>|\[[^\[\]\s]{1,60}\]")
_HEADING = re.compile(r"\n[^\n:]{1,40}:(?=\s*\Z)")
_QUESTION, _ANSWER = "probe question", "probe answer"


def turn_markers(render: Callable[[Sequence[ChatMessage]], RenderedPrompt]) -> tuple[str, ...]:
    """Return the tags that a chat template writes between an answer and the next question.

    If there are none, the line before the next question may be a heading, such as `User:` or
    `### Instruction:`. It is then the marker.
    """
    conversation = (
        ChatMessage("user", "hello"),
        ChatMessage("assistant", _ANSWER),
        ChatMessage("user", _QUESTION),
    )
    try:
        text = render(conversation).text
    except ChatTemplateError:
        return ()
    between = text.partition(_ANSWER)[2].partition(_QUESTION)[0]
    tags = tuple(dict.fromkeys(_TAG.findall(between)))
    return tags or tuple(_HEADING.findall(between))


class EndScanner:
    """A filter that returns the text of an answer up to its end, however the text is split."""

    def __init__(
        self, markers: Sequence[str] = (), stops: Sequence[str] = (), *, begun: str = ""
    ) -> None:
        """`markers` end the answer outside code, `stops` everywhere.

        `begun` is the text that the answer continues, for the code that it leaves open.
        """
        self._markers = tuple(markers)
        self._stops = tuple(stops)
        self._code = MarkdownCode()
        if self._markers:
            self._code.read_all(begun)
        self._buffer = ""
        self._position = 0  # index of the first unread character of the buffer
        self._marker_position: int | None = None  # index of a marker in an open code span
        self.is_ended = False
        """True if the answer has ended; further text is dropped."""

    def feed(self, text: str) -> str:
        """Add text; return the part of the answer that can be shown now."""
        if self.is_ended or not (self._markers or self._stops):
            return "" if self.is_ended else text
        self._buffer += text
        return self._read(final=False)

    def finish(self) -> str:
        """Return the text that was held back, at the end of the answer."""
        text = self._read(final=True)
        if self._marker_position is not None:
            return text + self._end(self._marker_position)
        return text

    def _read(self, *, final: bool) -> str:
        while (position := self._position) < len(self._buffer):
            length = run_length(self._buffer, position)
            stop = self._find_stop(position, length)
            if stop is not None:
                return self._end(stop if self._marker_position is None else self._marker_position)
            if not self._code.fence and self._buffer.startswith(self._markers, position):
                if not self._code.span:
                    return self._end(position)
                if self._marker_position is None:
                    self._marker_position = position
            if not final and self._is_incomplete(position, length):
                break
            piece = self._buffer[position : position + length]
            self._code.read(piece)
            self._position += length
            if self._marker_position is not None:
                if not self._code.span:
                    self._marker_position = None  # the span is closed, so the marker was code
                elif piece == "\n":
                    return self._end(self._marker_position)
        return self._release(
            self._position if self._marker_position is None else self._marker_position
        )

    def _find_stop(self, start: int, length: int) -> int | None:
        """Return the index of a stop string that begins within a run, None if there is none."""
        run = range(start, start + length) if self._stops else ()
        return next((at for at in run if self._buffer.startswith(self._stops, at)), None)

    def _is_incomplete(self, start: int, length: int) -> bool:
        """Return whether the next text may continue a run, or an end that begins within it."""
        rest = len(self._buffer) - start
        if length == rest and length < MAX_RUN and self._buffer[start] in "`~":
            return True
        ends = self._stops if self._code.fence else (*self._stops, *self._markers)
        longest = max(map(len, ends), default=0)
        if rest - length >= longest:
            return False
        return any(
            len(self._buffer) - at < len(end) and end.startswith(self._buffer[at:])
            for at in range(start, start + length)
            for end in ends
        )

    def _release(self, length: int) -> str:
        text, self._buffer = self._buffer[:length], self._buffer[length:]
        self._position -= length
        self._marker_position = None if self._marker_position is None else 0
        return text

    def _end(self, length: int) -> str:
        text = self._buffer[:length]
        self._buffer, self._position, self._marker_position = "", 0, None
        self.is_ended = True
        return text
