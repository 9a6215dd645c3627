"""Detection of the end of an answer: a turn marker written as text, or a stop string.

A chat template may use markers that the vocabulary lacks, for example ChatML on a base model. The
model then writes them as text. In a code span or a fenced block such text is an example and does
not end the answer. A marker that is a control token of the vocabulary ends an answer only as that
token.
"""

import re
from collections.abc import Callable, Sequence

from koel_tui.engine.errors import ChatTemplateError
from koel_tui.engine.native.control_tokens import RenderedPrompt
from koel_tui.engine.types import ChatMessage

_TAG = re.compile(r"<[^<>\s]{1,60}>|\[[^\[\]\s]{1,60}\]")
_FENCE_CHARACTERS = "`~"
_QUESTION, _ANSWER = "probe question", "probe answer"


def turn_markers(render: Callable[[Sequence[ChatMessage]], RenderedPrompt]) -> tuple[str, ...]:
    """Return the tags that a chat template writes between an answer and the next question."""
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
    return tuple(dict.fromkeys(_TAG.findall(between)))


class EndScanner:
    """A filter that returns the text of an answer up to its end, however the text is split."""

    def __init__(self, markers: Sequence[str] = (), stops: Sequence[str] = ()) -> None:
        """`markers` end the answer outside code, `stops` everywhere."""
        self._markers = tuple(markers)
        self._stops = tuple(stops)
        self._code = _Code()
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
        while self._position < len(self._buffer):
            rest = self._buffer[self._position :]
            if rest.startswith(self._stops):
                return self._end(
                    self._position if self._marker_position is None else self._marker_position
                )
            if not self._code.fence and rest.startswith(self._markers):
                if not self._code.span:
                    return self._end(self._position)
                self._marker_position = (
                    self._position if self._marker_position is None else self._marker_position
                )
            run = len(rest) - len(rest.lstrip(rest[0])) if rest[0] in _FENCE_CHARACTERS else 1
            if not final and (
                self._may_begin_end(rest) or (rest[0] in _FENCE_CHARACTERS and run == len(rest))
            ):
                break
            self._code.read(rest[:run])
            self._position += run
            if self._marker_position is not None:
                if not self._code.span:
                    self._marker_position = None  # the span is closed, so the marker was code
                elif rest[0] == "\n":
                    return self._end(self._marker_position)
        return self._release(
            self._position if self._marker_position is None else self._marker_position
        )

    def _may_begin_end(self, rest: str) -> bool:
        ends = self._stops if self._code.fence else (*self._stops, *self._markers)
        return any(len(rest) < len(end) and end.startswith(rest) for end in ends)

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


class _Code:
    """A tracker of the code spans and fenced blocks of Markdown.

    A span ends at the latest with its paragraph; its backticks were ordinary text then.
    """

    def __init__(self) -> None:
        self.fence = ""
        """The fence that opened the block, '' outside a block."""
        self.span = 0
        """The number of backticks that opened the code span, 0 outside a span."""
        self._blank = True  # whether the line has only spaces so far
        self._opening = False  # whether the line has opened the fence
        self._closing = False  # whether the line closes the fence if nothing follows

    def read(self, piece: str) -> None:
        """Read the next character, or a whole run of backticks or tildes."""
        if piece == "\n":
            if self._closing:
                self.fence = ""
            if self._blank:
                self.span = 0
            self._blank, self._opening, self._closing = True, False, False
            return
        if piece[0] in _FENCE_CHARACTERS:
            self._read_run(piece)
        elif not piece.isspace():
            self._closing = False
        self._blank = self._blank and piece.isspace()

    def _read_run(self, run: str) -> None:
        backticks = run[0] == "`"
        if self._opening and backticks and self.fence[0] == "`":
            # A line that opens a block has no further backticks, so this is a code span.
            self.span = 0 if len(run) == len(self.fence) else len(self.fence)
            self.fence, self._opening = "", False
        elif self.fence:
            same = run[0] == self.fence[0] and len(run) >= len(self.fence)
            self._closing = self._blank and same
        elif self.span:
            self.span = 0 if backticks and len(run) == self.span else self.span
        elif self._blank and len(run) >= 3:
            self.fence, self._opening = run, True
        elif backticks:
            self.span = len(run)
