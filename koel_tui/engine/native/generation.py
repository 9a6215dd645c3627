"""A turn on the native side: the tokens to decode, the tokens drawn, and the metrics."""

import codecs
import time
from dataclasses import dataclass, replace
from pathlib import Path

from koel_tui.engine.native.answer.answer_parser import Piece
from koel_tui.engine.native.answer.answer_text import Answer
from koel_tui.engine.native.context.slots import Slot
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.sampling.sampler import Sampler
from koel_tui.engine.native.speculation.drafter import Drafter
from koel_tui.engine.types import SessionMetrics


@dataclass(frozen=True, slots=True)
class TurnParameters:
    """The turn to answer, its session and its limits.

    Thinking ends after `thinking_budget` tokens of it; None means no limit. `checkpoint_tokens` is
    the number of tokens of the prompt after which a checkpoint is saved, 0 for none.
    """

    turn: int
    session: int
    lora: Path | None
    output_limit: int
    trimmed_turns: int
    snapshot_misses: int
    thinking_budget: int | None = None
    checkpoint_tokens: int = 0


class Generation:
    """A turn that is being answered in a slot.

    `tokens` is the prompt and every token drawn so far. Those that the slot does not hold yet must
    be decoded, whether they are prompt or answer. So a turn whose cache was dropped half-way simply
    has more to decode.
    """

    def __init__(
        self,
        parameters: TurnParameters,
        slot: Slot,
        prompt: list[int],
        sampler: Sampler,
        answer: Answer,
        started_at: float,
        drafter: Drafter | None = None,
    ) -> None:
        """`started_at` is the time of the request, in seconds of `time.perf_counter`."""
        self.parameters = parameters
        self.turn = parameters.turn
        self.slot = slot
        self.tokens = prompt
        self.sampler = sampler
        self.prompt_tokens = len(prompt)
        self.output_tokens = 0
        self.answer = answer
        self.drafter = drafter
        self.drafted_tokens = self.accepted_tokens = 0
        self.hidden_tokens = 0  # tokens of hidden thinking
        self._thinking_tokens = 0
        self._reused_tokens = len(slot.parts)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._started_at = started_at
        self._first_token_at = 0.0
        self._last_token_at = 0.0

    @property
    def pending_tokens(self) -> int:
        """The number of tokens to decode before the next one can be drawn."""
        return len(self.tokens) - len(self.slot.parts)

    def next_chunk(self, max_tokens: int) -> Chunk:
        """Return the next tokens to decode, at most `max_tokens`."""
        decoded = len(self.slot.parts)
        if decoded < self.parameters.checkpoint_tokens:
            max_tokens = min(max_tokens, self.parameters.checkpoint_tokens - decoded)
        tokens = self.tokens[decoded : decoded + max_tokens]
        last = decoded + len(tokens) == len(self.tokens)
        return Chunk(self.slot.sequence, self.slot.parts.positions, tokens, wants_logits=last)

    def next_chunk_with_draft(self, max_tokens: int) -> Chunk:
        """Return the last token and a draft of the next ones, at most `max_tokens` together.

        There is no draft if it would probably not save time.
        """
        chunk = self.next_chunk(1)
        if self.drafter is None or self.is_prefilling:
            return chunk
        limit = self.parameters.output_limit - self.output_tokens
        draft = self.drafter.draft(min(max_tokens, limit) - 1)
        if not draft:
            return chunk
        return replace(chunk, tokens=[*chunk.tokens, *draft], drafted=len(draft))

    def record_draft(self, drafted: int, accepted: int) -> None:
        """Record that the first `accepted` tokens of a draft were drawn."""
        self.drafted_tokens += drafted
        self.accepted_tokens += accepted
        if self.drafter is not None:
            self.drafter.record(drafted, accepted)

    @property
    def is_prefilling(self) -> bool:
        """True if the prompt is still in prefill."""
        return self.output_tokens == 0

    @property
    def is_at_checkpoint(self) -> bool:
        """True if the slot holds exactly the tokens to save a checkpoint of."""
        return 0 < len(self.slot.parts) == self.parameters.checkpoint_tokens

    @property
    def is_at_limit(self) -> bool:
        """True if the answer has reached its maximum length."""
        return self.output_tokens >= self.parameters.output_limit

    def must_end_thinking(self, closing: int) -> bool:
        """Return whether to end thinking with `closing` tokens, as its budget is used up.

        If the answer may not have that many more tokens, it ends within the thinking.
        """
        budget = self.parameters.thinking_budget
        return (
            budget is not None
            and self._thinking_tokens >= budget
            and self.output_tokens + closing < self.parameters.output_limit
        )

    @property
    def has_tool_calls(self) -> bool:
        """True if the answer contains tool calls."""
        return self.answer.calls > 0

    def add_token(self, token: int, piece: bytes) -> list[Piece]:
        """Add a drawn token; return the pieces it completes, none within a character or a tag."""
        self._last_token_at = time.perf_counter()
        if not self.output_tokens:
            self._first_token_at = self._last_token_at
        self.tokens.append(token)
        self.output_tokens += 1
        self._thinking_tokens += self.answer.open_thinking is not None
        if self.answer.is_thinking_hidden:
            self.hidden_tokens += 1
        control = token in self.answer.text_controls
        pieces: list[Piece] = []
        # A tag ends an incomplete character. It must be fed alone, because its position counts.
        if control and (rest := self._utf8.decode(b"", final=True)):
            pieces += self.answer.feed(rest, control=False)
        return pieces + self.answer.feed(self._utf8.decode(piece), control=control)

    def finish(self, *, cut: bool) -> list[Piece]:
        """Return the pieces that were held back, at the end of the answer.

        `cut` is whether the model was not finished.
        """
        return self.answer.finish(cut=cut)

    def metrics(self, load_s: float, threads: int) -> SessionMetrics:
        """Return the metrics of the turn so far; `threads` is the present number of CPU threads."""
        prefilled = self.prompt_tokens - self._reused_tokens
        prefill_s = self._first_token_at - self._started_at
        decode_s = self._last_token_at - self._first_token_at
        return SessionMetrics(
            prompt_tokens=self.prompt_tokens,
            reused_tokens=self._reused_tokens,
            output_tokens=self.output_tokens,
            time_to_first_token_s=max(0.0, prefill_s),
            prefill_tokens_per_s=prefilled / prefill_s if prefill_s > 0 else 0.0,
            decode_tokens_per_s=(self.output_tokens - 1) / decode_s if decode_s > 0 else 0.0,
            load_s=load_s,
            seed=self.sampler.seed,
            snapshot_misses=self.parameters.snapshot_misses,
            threads=threads,
            drafted_tokens=self.drafted_tokens,
            accepted_tokens=self.accepted_tokens,
        )
