"""A turn on the native side: the tokens to decode, the tokens drawn, and the metrics."""

import codecs
import time
from dataclasses import dataclass
from pathlib import Path

from koel_tui.engine.native.answer.answer_parser import Piece
from koel_tui.engine.native.answer.answer_text import Answer
from koel_tui.engine.native.context.llama_context import Chunk
from koel_tui.engine.native.context.slots import Slot
from koel_tui.engine.native.sampling.sampler import Sampler
from koel_tui.engine.types import SessionMetrics


@dataclass(frozen=True, slots=True)
class TurnParameters:
    """The turn to answer, its session and its limits.

    Thinking ends after `thinking_budget` tokens of it; None is no limit.
    """

    turn: int
    session: int
    lora: Path | None
    output_limit: int
    trimmed_turns: int
    snapshot_misses: int
    thinking_budget: int | None = None


class Generation:
    """A turn that is being answered in a slot.

    `tokens` is the prompt and every token drawn so far. Those that the slot does not hold yet must
    be decoded, whether they are prompt or answer. So a turn whose cache was dropped half-way simply
    has more to decode.
    """

    def __init__(
        self,
        assignment: TurnParameters,
        slot: Slot,
        prompt: list[int],
        sampler: Sampler,
        answer: Answer,
        begin: float,
    ) -> None:
        """`begin` is the time of the request, in seconds of `time.perf_counter`."""
        self.assignment = assignment
        self.turn = assignment.turn
        self.slot = slot
        self.tokens = prompt
        self.sampler = sampler
        self.prompt_tokens = len(prompt)
        self.output_tokens = 0
        self.answer = answer
        self.unseen_tokens = 0  # tokens of hidden thinking
        self._thinking_tokens = 0
        self._reused = len(slot.tokens)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._begin = begin
        self._first = 0.0
        self._last = 0.0

    @property
    def pending(self) -> int:
        """The number of tokens to decode before the next one can be drawn."""
        return len(self.tokens) - len(self.slot.tokens)

    def chunk(self, most: int) -> Chunk:
        """Return the next tokens to decode, at most `most`."""
        held = len(self.slot.tokens)
        tokens = self.tokens[held : held + most]
        last = held + len(tokens) == len(self.tokens)
        return Chunk(self.slot.sequence, held, tokens, wants_logits=last)

    @property
    def reading(self) -> bool:
        """Whether the prompt is still in prefill."""
        return self.output_tokens == 0

    @property
    def exhausted(self) -> bool:
        """Whether the answer has reached its maximum length."""
        return self.output_tokens >= self.assignment.output_limit

    def must_answer(self, closing: int) -> bool:
        """Return whether to end thinking with `closing` tokens, as its budget is used up.

        If the answer may not have that many more tokens, it ends within the thinking.
        """
        budget = self.assignment.thinking_budget
        return (
            budget is not None
            and self._thinking_tokens >= budget
            and self.output_tokens + closing < self.assignment.output_limit
        )

    @property
    def called_tools(self) -> bool:
        """Whether the answer contains tool calls."""
        return self.answer.calls > 0

    def draw(self, token: int, piece: bytes) -> list[Piece]:
        """Add a drawn token; return the pieces it completes, none within a character or a tag."""
        self._last = time.perf_counter()
        if not self.output_tokens:
            self._first = self._last
        self.tokens.append(token)
        self.output_tokens += 1
        self._thinking_tokens += self.answer.open_thinking is not None
        if self.answer.thinks_unseen:
            self.unseen_tokens += 1
        control = token in self.answer.spelled
        return self.answer.feed(self._utf8.decode(piece), control=control)

    def finish(self) -> list[Piece]:
        """Return the pieces that were held back, at the end of the answer."""
        return self.answer.finish()

    def metrics(self, load_s: float) -> SessionMetrics:
        """Return the metrics of the turn so far."""
        read = self.prompt_tokens - self._reused
        reading_s = self._first - self._begin
        writing_s = self._last - self._first
        return SessionMetrics(
            prompt_tokens=self.prompt_tokens,
            reused_tokens=self._reused,
            output_tokens=self.output_tokens,
            time_to_first_token_s=max(0.0, reading_s),
            prefill_tokens_per_s=read / reading_s if reading_s > 0 else 0.0,
            decode_tokens_per_s=(self.output_tokens - 1) / writing_s if writing_s > 0 else 0.0,
            load_s=load_s,
            seed=self.sampler.seed,
            snapshot_misses=self.assignment.snapshot_misses,
        )
