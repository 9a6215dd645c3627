"""One turn as the native side sees it: what is to be decoded, what was drawn, how fast."""

import codecs
import time

from koel_tui.engine.native.sampler import Sampler
from koel_tui.engine.native.slots import Slot
from koel_tui.engine.values import SessionMetrics


class Generation:
    """A turn being answered in a slot.

    `tokens` is the prompt and every token drawn since; what of it the slot does not hold yet is
    still to be decoded, whether it is prompt or answer. So a turn whose cache had to be dropped
    half-way simply has more to decode.
    """

    def __init__(
        self,
        turn: int,
        session: int,
        slot: Slot,
        prompt: list[int],
        sampler: Sampler,
        output_limit: int,
    ) -> None:
        self.turn = turn
        self.session = session
        self.slot = slot
        self.tokens = prompt
        self.sampler = sampler
        self.prompt_tokens = len(prompt)
        self.output_limit = output_limit
        self.output_tokens = 0
        self._reused = len(slot.tokens)
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")
        self._begin = time.perf_counter()
        self._first = 0.0
        self._last = 0.0

    @property
    def pending(self) -> int:
        """How many tokens are to be decoded before the next can be drawn."""
        return len(self.tokens) - len(self.slot.tokens)

    @property
    def reading(self) -> bool:
        """Whether prompt tokens are still to be decoded."""
        return self.output_tokens == 0

    @property
    def exhausted(self) -> bool:
        """Whether the answer is as long as it may be."""
        return self.output_tokens >= self.output_limit

    def draw(self, token: int, piece: bytes) -> str:
        """Add a drawn token; return the text it completes, '' within a character."""
        self._mark()
        self.tokens.append(token)
        self.output_tokens += 1
        return self._utf8.decode(piece)

    def _mark(self) -> None:
        self._last = time.perf_counter()
        if not self.output_tokens:
            self._first = self._last

    def metrics(self, load_s: float) -> SessionMetrics:
        """Return the figures so far."""
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
        )
