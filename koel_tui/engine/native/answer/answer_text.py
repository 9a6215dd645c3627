"""A filter of a streamed answer: the pieces to show, and an end found in its text."""

from collections.abc import Collection, Sequence

from koel_tui.engine.native.answer.answer_end import EndScanner
from koel_tui.engine.native.answer.answer_parser import OutputSplitter, Piece
from koel_tui.engine.native.answer.thinking_tags import Tags
from koel_tui.engine.types import TextDelta, ThinkingDelta


class Answer:
    """The text of one answer, converted token by token to the pieces to show."""

    def __init__(
        self,
        splitter: OutputSplitter,
        *,
        thinking: bool,
        markers: Sequence[str] = (),
        stops: Sequence[str] = (),
        spelled: Collection[int] = (),
        ends: Collection[int] = (),
    ) -> None:
        """`thinking` False hides the thinking. For `markers` and `stops` see `EndScanner`.

        `spelled` are the control tokens that are read as text; `ends` are those that end the
        answer.
        """
        self.spelled = frozenset(spelled)
        self.ends = frozenset(ends)
        self._splitter = splitter
        self._thinking = thinking
        self._text = EndScanner(markers, stops)
        self._thoughts = EndScanner(markers)

    @property
    def ended(self) -> bool:
        """Whether a marker or a stop string has ended the answer."""
        return self._text.ended or self._thoughts.ended

    @property
    def calls(self) -> int:
        """The number of tool calls so far."""
        return self._splitter.calls

    @property
    def thinks_unseen(self) -> bool:
        """Whether the model is thinking and the thinking is hidden."""
        return self.open_thinking is not None and not self._thinking

    @property
    def open_thinking(self) -> Tags | None:
        """The tags of the open thinking block; None if the model is not thinking."""
        return self._splitter.open_thinking

    def feed(self, text: str, *, control: bool) -> list[Piece]:
        """Parse the text of the next token; return the pieces it completes."""
        return self._shown(self._splitter.feed(text, control=control))

    def finish(self) -> list[Piece]:
        """Return the pieces that were held back, at the end of the answer."""
        pieces = self._shown(self._splitter.finish())
        return pieces + self._flushed(self._thoughts) + self._flushed(self._text)

    def _shown(self, pieces: list[Piece]) -> list[Piece]:
        shown: list[Piece] = []
        for piece in pieces:
            if self.ended:
                break
            match piece:
                case TextDelta(text=text):
                    shown += self._flushed(self._thoughts)
                    shown += self._as_pieces(self._text, self._text.feed(text))
                case ThinkingDelta(text=text):
                    shown += self._as_pieces(self._thoughts, self._thoughts.feed(text))
                case _:
                    shown += [*self._flushed(self._text), piece]
        return shown

    def _flushed(self, scanner: EndScanner) -> list[Piece]:
        return self._as_pieces(scanner, scanner.finish())

    def _as_pieces(self, scanner: EndScanner, text: str) -> list[Piece]:
        if not text:
            return []
        if scanner is self._text:
            return [TextDelta(text)]
        return [ThinkingDelta(text)] if self._thinking else []
