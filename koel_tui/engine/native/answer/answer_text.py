"""A filter of a streamed answer: the pieces to show, and an end found in its text."""

from collections.abc import Collection, Sequence

from koel_tui.engine.native.answer.answer_end import EndScanner
from koel_tui.engine.native.answer.answer_parser import AnswerParser, Piece
from koel_tui.engine.native.answer.harmony_parser import HarmonyParser
from koel_tui.engine.native.answer.thinking_tags import Tags
from koel_tui.engine.types import TextDelta, ThinkingDelta


class Answer:
    """The text of one answer, converted token by token to the pieces to show."""

    def __init__(
        self,
        parser: AnswerParser | HarmonyParser,
        *,
        thinking: bool,
        markers: Sequence[str] = (),
        stops: Sequence[str] = (),
        text_controls: Collection[int] = (),
        end_tokens: Collection[int] = (),
        begun_text: str = "",
        begun_thinking: str = "",
    ) -> None:
        """`thinking` False hides the thinking, unless the answer has nothing else.

        For `markers` and `stops` see `EndScanner`.

        `begun_text` and `begun_thinking` are what the answer continues.

        `text_controls` are the control tokens that are read as text; `end_tokens` are those that
        end the answer.
        """
        self.text_controls = frozenset(text_controls)
        self.end_tokens = frozenset(end_tokens)
        self._parser = parser
        self._shows_thinking = thinking
        self._hidden_thinking: list[str] = []
        self._is_empty = True  # whether only white space was shown so far
        self._text_scanner = EndScanner(markers, stops, begun=begun_text)
        self._thinking_scanner = EndScanner(markers, begun=begun_thinking)
        self._last_text = begun_text[-1:]  # the last character of the text so far
        self._needs_break = False  # whether thinking separates the next text from the last

    @property
    def is_ended(self) -> bool:
        """True if the answer has ended before the token that ends it."""
        return self._parser.is_ended or self._is_stopped

    @property
    def _is_stopped(self) -> bool:
        """True if a marker or a stop string has ended the answer."""
        return self._text_scanner.is_ended or self._thinking_scanner.is_ended

    @property
    def calls(self) -> int:
        """The number of tool calls so far."""
        return self._parser.calls

    @property
    def is_thinking_hidden(self) -> bool:
        """True if the model is thinking and the thinking is hidden."""
        return self.open_thinking is not None and not self._shows_thinking

    @property
    def open_thinking(self) -> Tags | None:
        """The tags of the open thinking block; None if the model is not thinking."""
        return self._parser.open_thinking

    def forget_code(self) -> None:
        """Forget the open quotations and code, so that the next end tag ends the thinking."""
        self._parser.forget_code()

    def feed(self, text: str, *, control: bool) -> list[Piece]:
        """Parse the text of the next token; return the pieces it completes."""
        pieces = self._visible(self._parser.feed(text, control=control))
        if any(map(_is_shown, pieces)):
            self._is_empty = False
            self._hidden_thinking.clear()
        return pieces

    def finish(self, *, cut: bool = False) -> list[Piece]:
        """Return the pieces that were held back, at the end of the answer.

        `cut` is whether the model was not finished: then a call without its arguments is text.
        Hidden thinking without an answer is shown, because the user must see what used the tokens.
        """
        pieces = self._visible(self._parser.finish(cut=cut))
        pieces += self._flush(self._thinking_scanner)
        pieces += self._flush(self._text_scanner)
        hidden = "".join(self._hidden_thinking)
        if self._is_empty and hidden.strip() and not any(map(_is_shown, pieces)):
            pieces.append(ThinkingDelta(hidden))
        return pieces

    def _visible(self, pieces: list[Piece]) -> list[Piece]:
        visible: list[Piece] = []
        for piece in pieces:
            if self._is_stopped:
                break
            match piece:
                case TextDelta(text=text):
                    visible += self._flush(self._thinking_scanner)
                    visible += self._to_pieces(self._text_scanner, self._text_scanner.feed(text))
                case ThinkingDelta(text=text):
                    visible += self._flush(self._text_scanner)
                    self._needs_break = bool(self._last_text.strip())
                    visible += self._to_pieces(
                        self._thinking_scanner, self._thinking_scanner.feed(text)
                    )
                case _:
                    visible += self._flush(self._thinking_scanner)
                    visible += [*self._flush(self._text_scanner), piece]
        return visible

    def _flush(self, scanner: EndScanner) -> list[Piece]:
        return self._to_pieces(scanner, scanner.finish())

    def _to_pieces(self, scanner: EndScanner, text: str) -> list[Piece]:
        if not text:
            return []
        if scanner is self._text_scanner:
            if self._needs_break and not text[0].isspace():
                text = f"\n\n{text}"
            self._last_text, self._needs_break = text[-1:], False
            return [TextDelta(text)]
        if self._shows_thinking:
            return [ThinkingDelta(text)]
        if self._is_empty:
            self._hidden_thinking.append(text)
        return []


def _is_shown(piece: Piece) -> bool:
    """Return whether a piece is more than white space."""
    return not isinstance(piece, TextDelta) or bool(piece.text.strip())
