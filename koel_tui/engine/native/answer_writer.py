"""The next token of an answer: drawn, added to its turn, and sent as events."""

from collections.abc import Callable, Iterable

from koel_tui.engine.errors import EngineError
from koel_tui.engine.native.answer.answer_parser import Piece
from koel_tui.engine.native.generation import Generation
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.types import FinishReason, TextDelta, ThinkingDelta, ToolCallDelta
from koel_tui.engine.wire_messages import Event, HiddenThinking, Text, Thinking, ToolCalled

_HIDDEN_STEP = 16
"""Number of hidden thinking tokens between two reports of their count."""


class AnswerWriter:
    """Draws the tokens of answers and emits their pieces."""

    def __init__(self, loaded: LoadedModel, emit: Callable[[Event], None]) -> None:
        self._loaded = loaded
        self._emit = emit

    def write(self, generation: Generation, row: int) -> FinishReason | None:
        """Draw a token from a row of the logits; return why the answer ends, None if it continues.

        Raises `EngineError` for logits that are not numbers.
        """
        loaded = self._loaded
        if not loaded.context.has_valid_logits(row):
            raise EngineError(
                "The results of the model are not numbers: its weights are damaged, or the "
                "settings do not fit it. Send again; if that does not help, download it again or "
                "choose another."
            )
        token = generation.sampler.sample(loaded.context, row)
        if loaded.model.ends_answer(token) or token in generation.answer.end_tokens:
            return "end"
        piece = loaded.model.piece(token, special=token in generation.answer.text_controls)
        self.emit(generation, generation.add_token(token, piece))
        self._limit_thinking(generation)
        if generation.answer.is_thinking_hidden and generation.hidden_tokens % _HIDDEN_STEP == 1:
            self._emit(HiddenThinking(generation.turn, generation.hidden_tokens))
        if generation.answer.is_ended:
            return "end"
        return "length" if generation.is_at_limit else None

    def emit(self, generation: Generation, pieces: Iterable[Piece]) -> None:
        """Send pieces of an answer as events."""
        for piece in pieces:
            match piece:
                case TextDelta(text=text):
                    self._emit(Text(generation.turn, text))
                case ThinkingDelta(text=text):
                    self._emit(Thinking(generation.turn, text))
                case ToolCallDelta():
                    self._emit(ToolCalled(generation.turn, piece))

    def _limit_thinking(self, generation: Generation) -> None:
        """End thinking whose budget is used up, with tokens as if the model had written them."""
        tags = generation.answer.open_thinking
        if tags is None:
            return
        loaded = self._loaded
        closing = loaded.closing_tokens(tags)
        if generation.must_end_thinking(len(closing)):
            generation.sampler.accept_prompt(closing)
            generation.answer.forget_code()
            for token in closing:
                piece = loaded.model.piece(token, special=True)
                self.emit(generation, generation.add_token(token, piece))
