"""The order of the steps: which turns are decoded together, and with how many threads.

A step decodes a token of each answer, or tokens of prompts. Both in one batch would save no time:
llama.cpp decodes sequences together only if each has equally many tokens.
"""

import os
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path

from koel_tui.engine.cpu_count import usable_cores
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.generation import Generation
from koel_tui.engine.native.scheduling.free_cores import FreeCores
from koel_tui.engine.native.scheduling.prefill_budget import PrefillBudget
from koel_tui.engine.native.scheduling.thread_controller import ThreadController
from koel_tui.engine.native.speculation.draft_costs import DraftCosts

_ANSWERS_SHARE = 0.8
"""The time that answers get after a step of prompts, relative to the time of that step.

Less than the same time, because the small steps of a prompt are slower for each token.
"""
_DRAFT_STEP_DURING_PREFILL = 9
"""Tokens of a step with a draft while prompts are read, because it delays the next token of the
answer in addition to the step of the prompts."""
_UNIT_TOKENS = 64
"""Prompt tokens that count as a step for the number of threads, and those of an attempt."""


@dataclass(frozen=True, slots=True)
class Step:
    """The turns of a step with the tokens of each, in the order of their sequences.

    All have the adapter `lora`. `is_prefill` is whether they are prompt tokens; `delays_answers`
    is whether answers wait meanwhile.
    """

    batch: tuple[tuple[Generation, Chunk], ...]
    lora: Path | None
    threads: int
    is_prefill: bool
    delays_answers: bool = False

    @property
    def chunks(self) -> list[Chunk]:
        """The tokens to decode."""
        return [chunk for _, chunk in self.batch]

    @property
    def generations(self) -> list[Generation]:
        """The turns of the step."""
        return [generation for generation, _ in self.batch]

    @property
    def tokens(self) -> int:
        """The number of tokens to decode."""
        return sum(len(chunk.tokens) for _, chunk in self.batch)

    @property
    def has_draft(self) -> bool:
        """True if the step decodes a draft; it then has one turn."""
        return self.batch[0][1].drafted > 0


class StepScheduler:
    """Chooses the next step, and learns from the time that each takes."""

    def __init__(
        self,
        threads: int | None = None,
        clock: Callable[[], float] = time.perf_counter,
        free_cores: Callable[[], int] | None = None,
    ) -> None:
        """Every step uses `threads`; None means the number with which it is fastest.

        That is at most what `free_cores` returns; None measures it.
        """
        self._fixed_threads = threads
        self._free_cores = free_cores or FreeCores(os.cpu_count() or 1).count
        cores = usable_cores()
        self._decode_threads = ThreadController(cores)
        # An attempt with prompt tokens takes long.
        self._prefill_threads = ThreadController(cores, needs_reason=True)
        self._budget = PrefillBudget()
        self.draft_costs = DraftCosts()
        self._clock = clock
        self._last: Step | None = None
        self._last_s = 0.0
        self._started_at = 0.0
        self._owed_s = 0.0  # time for answers until the next step of prompts

    @property
    def threads(self) -> int:
        """The number of threads with which answers are decoded, apart from attempts."""
        return self._fixed_threads or min(self._decode_threads.threads, self._free_cores())

    def next_step(self, generations: Sequence[Generation], batch_tokens: int) -> Step:
        """Return the next step of some of the turns, which are in the order of their waiting."""
        self._count_time()
        answers = [each for each in generations if each.pending_tokens == 1]
        prompts = [each for each in generations if each.pending_tokens > 1]
        if answers and (not prompts or self._owed_s > 0):
            limit = _DRAFT_STEP_DURING_PREFILL if prompts else batch_tokens
            step = self._answers_step(answers, limit)
        else:
            step = self._prompts_step(prompts, bool(answers), batch_tokens)
        self._last, self._last_s = step, 0.0
        return step

    def record(self, step: Step, seconds: float, cpu_s: float) -> None:
        """Learn from the time that `Context.decode` took, and the CPU time of all threads in it."""
        self._last_s = seconds
        cpu_share = cpu_s / (seconds * step.threads)
        if step.delays_answers:
            self._budget.record_prefill(step.tokens, seconds)
        elif step.is_prefill:
            for _ in range(step.tokens // _UNIT_TOKENS):
                self._prefill_threads.record(seconds / step.tokens, cpu_share)
        elif step.has_draft:
            self.draft_costs.record_draft(step.tokens, seconds)
        else:
            self._budget.record_decode(seconds)
            self._decode_threads.record(seconds, cpu_share)
            if len(step.batch) == 1:
                self.draft_costs.record_single(seconds)

    def _count_time(self) -> None:
        """Count the time since the last step began: for the answers, or against them.

        It includes sampling. It is limited, because the turns may have ended and others begun.
        """
        now = self._clock()
        elapsed = min(now - self._started_at, 2 * self._last_s)
        self._started_at = now
        if self._last is None:
            return
        if not self._last.is_prefill:
            self._owed_s -= elapsed
        elif self._last.delays_answers:
            self._owed_s = elapsed * _ANSWERS_SHARE

    def _answers_step(self, answers: Sequence[Generation], max_tokens: int) -> Step:
        lora = answers[0].parameters.lora
        if len(answers) == 1:
            chunk = answers[0].next_chunk_with_draft(max_tokens)
            if chunk.drafted:
                threads = self._prompt_threads()
                return Step(((answers[0], chunk),), lora, threads, is_prefill=False)
        same_adapter = [each for each in answers if each.parameters.lora == lora]
        # llama.cpp decodes neighbouring sequences together if they are in order.
        same_adapter.sort(key=lambda each: each.slot.sequence)
        work = frozenset(each.turn for each in same_adapter)
        threads = self._fixed_threads or self._choose(self._decode_threads, work)
        batch = tuple((each, each.next_chunk(1)) for each in same_adapter)
        return Step(batch, lora, threads, is_prefill=False)

    def _prompts_step(
        self, prompts: Sequence[Generation], delays_answers: bool, batch_tokens: int
    ) -> Step:
        lora = prompts[0].parameters.lora
        threads = self._prompt_threads()
        free_tokens = batch_tokens
        if delays_answers:
            free_tokens = self._budget.tokens(batch_tokens)
        elif not self._fixed_threads:
            threads = self._choose(self._prefill_threads, "prompt")
            if self._prefill_threads.is_attempting:
                free_tokens = min(_UNIT_TOKENS, batch_tokens)
        batch = []
        for each in prompts:
            if each.parameters.lora == lora and free_tokens > 0:
                chunk = each.next_chunk(free_tokens)
                free_tokens -= len(chunk.tokens)
                batch.append((each, chunk))
        batch.sort(key=lambda each: each[1].sequence)
        return Step(tuple(batch), lora, threads, is_prefill=True, delays_answers=delays_answers)

    def _prompt_threads(self) -> int:
        return self._fixed_threads or min(self._prefill_threads.threads, self._free_cores())

    def _choose(self, controller: ThreadController, work: Hashable) -> int:
        """Return the number of threads for some work, at most that of the free cores."""
        free_cores = self._free_cores()
        return min(controller.choose((work, free_cores)), free_cores)
