"""An answer while it is written: what of it is shown, and whether its text has ended it."""

from collections.abc import Collection, Sequence

from koel_tui.engine.native.answer.answer_end import EndScanner
from koel_tui.engine.native.answer.answer_parser import OutputSplitter, Piece
from koel_tui.engine.native.answer.thinking_tags import Tags
from koel_tui.engine.types import TextDelta, ThinkingDelta


class Answer:
    """Takes the text of the tokens of one answer and returns the pieces to show."""

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
        """`thinking` False shows none of it; `markers` and `stops` are those of `EndScanner`.

        `spelled` are the control tokens to be read as text, `ends` those that end the answer.
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
        """How many tool calls there were so far."""
        return self._splitter.calls

    @property
    def thinks_unseen(self) -> bool:
        """Whether the model is thinking and nothing of it is shown."""
        return self.open_thinking is not None and not self._thinking

    @property
    def open_thinking(self) -> Tags | None:
        """The tags of the thinking that is not ended; None where the model does not think."""
        return self._splitter.open_thinking

    def feed(self, text: str, *, control: bool) -> list[Piece]:
        """Take the text of the next token; return what it completes."""
        return self._shown(self._splitter.feed(text, control=control))

    def finish(self) -> list[Piece]:
        """Return what was held back: the answer is over."""
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
