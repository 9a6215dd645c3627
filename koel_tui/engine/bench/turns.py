"""TurnTimes turns and the threads for them."""

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from koel_tui.engine.engine import Engine
from koel_tui.engine.errors import EngineError
from koel_tui.engine.session import EngineSession
from koel_tui.engine.types import ChatMessage, Finished, SessionMetrics, TextDelta

_SENTENCE = "I walked to the harbour and back, and wrote down what I saw there. "
_STORY = "Write a very long story about a lighthouse keeper and the sea, in many chapters."

# Equal token counts and different first letters, so that the prefill of every question takes
# equally long: one more token takes milliseconds.
_TOPICS = ("sea", "dog", "sky", "man", "sun", "cat", "day", "car", "moon")


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """One turn: seconds from its start to the first token, and from there to the last."""

    first_s: float
    decode_s: float
    metrics: SessionMetrics

    @property
    def prefill(self) -> float:
        """Prompt tokens prefilled per second, without reused tokens."""
        return (self.metrics.prompt_tokens - self.metrics.reused_tokens) / self.first_s

    @property
    def decode(self) -> float:
        """Tokens generated per second."""
        return (self.metrics.output_tokens - 1) / self.decode_s if self.decode_s else 0.0


async def run_timed(session: EngineSession, messages: list[ChatMessage]) -> TurnTimes:
    """Run a turn and return its times."""
    begin = time.perf_counter()
    first = last = 0.0
    metrics = SessionMetrics()
    async for delta in session.stream(messages):
        if isinstance(delta, TextDelta):
            last = time.perf_counter()
            first = first or last
        elif isinstance(delta, Finished):
            metrics = delta.metrics
    if not first:
        raise EngineError(
            "The model returned an empty answer, so it cannot be measured. Choose another model."
        )
    return TurnTimes(first - begin, last - first, metrics)


@dataclass(slots=True)
class ThreadGenerator:
    """Generator of threads of a given length, each with different first words.

    They differ, because the engine prefills a common prefix of two threads only once.
    """

    _numbers: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))
    _topics: Iterator[str] = field(default_factory=lambda: itertools.cycle(_TOPICS))
    _per_sentence: float = 0.0

    async def thread(self, engine: Engine, tokens: int) -> list[ChatMessage]:
        """Return a conversation of about `tokens` tokens that ends with a question."""
        if not self._per_sentence:
            self._per_sentence = await engine.count_tokens(_SENTENCE * 50) / 50
        text = _SENTENCE * max(1, round(tokens / self._per_sentence))
        return [
            ChatMessage("user", f"Number {next(self._numbers)} of my diaries. {text}"),
            ChatMessage("assistant", "Thank you for sharing it."),
            ChatMessage("user", _STORY),
        ]

    def question(self) -> list[ChatMessage]:
        """Return a short conversation that requests a long answer."""
        return [ChatMessage("user", f"Number {next(self._numbers)} of my wishes. {_STORY}")]

    def with_new_question(self, thread: list[ChatMessage]) -> list[ChatMessage]:
        """Return the conversation with its last question replaced by a new one."""
        return [*thread[:-1], ChatMessage("user", f"Tell me about the {next(self._topics)}.")]
