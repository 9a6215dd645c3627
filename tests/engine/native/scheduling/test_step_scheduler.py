"""The step scheduler: the turns of a step, and the time for answers and prompts."""

from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.scheduling import step_scheduler
from koel_tui.engine.native.scheduling.step_scheduler import Step, StepScheduler

DECODE_S, SAMPLING_S, PREFILL_PER_S = 0.012, 0.001, 300
CORES = 2
BATCH_TOKENS = 512


@dataclass
class Turn:
    """A turn that decodes the tokens of a prompt, then an endless answer."""

    turn: int
    sequence: int
    pending_tokens: int = 1
    lora: Path | None = None
    drafted: int = 0  # the draft tokens of each step
    done: list[float] = field(default_factory=list)  # the times of its tokens

    @property
    def parameters(self) -> Any:
        return SimpleNamespace(lora=self.lora)

    @property
    def slot(self) -> Any:
        return SimpleNamespace(sequence=self.sequence)

    def next_chunk(self, max_tokens: int) -> Chunk:
        count = min(max_tokens, self.pending_tokens)
        return Chunk(self.sequence, 0, [0] * count, wants_logits=count == self.pending_tokens)

    def next_chunk_with_draft(self, max_tokens: int) -> Chunk:
        drafted = min(self.drafted, max_tokens - 1)
        tokens = [0] * (1 + drafted)
        return Chunk(self.sequence, 0, tokens, wants_logits=True, drafted=drafted)


class Computer:
    """A computer with a given speed, the clock of its scheduler, and its turns."""

    def __init__(self, *turns: Turn, threads: int | None = 2) -> None:
        self.now = 100.0
        self.scheduler = StepScheduler(threads, lambda: self.now, lambda: self.free_cores)
        self.turns: list[Any] = list(turns)
        self.busy = 0
        self.slow_s = 0.0  # additional time of a step with a draft
        self.free_cores = CORES

    def slowdown(self, threads: int) -> float:
        """Return the time of a prompt token relative to two threads without a busy process."""
        if threads == 1:
            return 2.0
        return 2.6 if self.busy else 1.0

    def step(self) -> Step:
        step = self.scheduler.next_step(self.turns, BATCH_TOKENS)
        seconds = DECODE_S
        if step.is_prefill:
            seconds = 0.003 + step.tokens / PREFILL_PER_S * self.slowdown(step.threads)
        if step.has_draft:
            seconds += self.slow_s
        self.now += seconds
        used = min(step.threads, CORES - self.busy / 2)
        self.scheduler.record(step, seconds, seconds * used)
        self.now += SAMPLING_S
        for turn, chunk in step.batch:
            each: Any = turn
            each.pending_tokens -= len(chunk.tokens) - chunk.drafted
            if not each.pending_tokens:
                each.pending_tokens = 1
                each.done.append(self.now)
            self.turns.remove(each)
            self.turns.append(each)
        return step


def test_steps_a_writer_and_a_reader_each_get_nearly_half_of_the_time() -> None:
    writer, reader = Turn(1, 0), Turn(2, 1, pending_tokens=2000)
    computer = Computer(writer, reader)
    begin = computer.now
    while not reader.done:
        computer.step()
    seconds = computer.now - begin
    alone = 1 / (DECODE_S + SAMPLING_S)
    assert len(writer.done) / seconds >= 0.42 * alone
    assert 2000 / seconds >= 0.45 * PREFILL_PER_S
    gaps = [later - earlier for earlier, later in zip(writer.done, writer.done[1:], strict=False)]
    assert max(gaps) < 0.15


def test_steps_a_reader_alone_reads_whole_batches() -> None:
    reader = Turn(1, 0, pending_tokens=2000)
    computer = Computer(reader)
    assert [computer.step().tokens for _ in range(4)] == [512, 512, 512, 464]


def test_steps_several_readers_take_turns() -> None:
    first, second = Turn(1, 0, pending_tokens=2000), Turn(2, 1, pending_tokens=2000)
    computer = Computer(first, second)
    turns: list[Any] = [computer.step().generations for _ in range(4)]
    assert turns == [[first], [second]] * 2


def test_steps_the_rest_of_a_batch_belongs_to_the_next_reader() -> None:
    first, second = Turn(1, 5, pending_tokens=500), Turn(2, 2, pending_tokens=500)
    step = Computer(first, second).step()
    assert [(chunk.sequence, len(chunk.tokens)) for chunk in step.chunks] == [(2, 12), (5, 500)]


def test_steps_answers_are_in_the_order_of_their_sequences() -> None:
    turns = [Turn(number, sequence) for number, sequence in enumerate((3, 0, 2, 1))]
    step = Computer(*turns).step()
    assert [chunk.sequence for chunk in step.chunks] == [0, 1, 2, 3]


def test_steps_of_adapters_alternate_and_a_reader_delays_no_answer_of_another() -> None:
    writer = Turn(1, 0)
    reader = Turn(2, 1, pending_tokens=1000, lora=Path("one"))
    other = Turn(3, 2, lora=Path("two"))
    computer = Computer(writer, reader, other)
    for _ in range(60):
        step = computer.step()
        assert len({each.parameters.lora for each in step.generations}) == 1
        assert step.tokens <= 50
    assert len(writer.done) == pytest.approx(len(other.done), abs=1) and reader.pending_tokens < 800


def test_steps_an_interrupted_prompt_delays_later_answers_no_further() -> None:
    writer, reader = Turn(1, 0), Turn(2, 1, pending_tokens=2000)
    computer = Computer(writer, reader)
    computer.step()
    computer.turns = []
    computer.now += 3600  # idle for an hour
    writer, reader = Turn(3, 0), Turn(4, 1, pending_tokens=2000)
    computer.turns = [writer, reader]
    assert any(computer.step().is_prefill for _ in range(12))


def test_steps_the_threads_of_a_prompt_follow_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_scheduler, "usable_cores", lambda: CORES)
    reader = Turn(1, 0, pending_tokens=10**9)
    computer = Computer(reader, threads=None)
    tokens, attempted = 0, 0
    for busy, best in ((0, 2), (1, 1), (0, 2)):
        computer.busy = busy
        steps = [computer.step() for _ in range(40)]
        assert [step.threads for step in steps if step.tokens > 64][-3:] == [best] * 3
        tokens += sum(step.tokens for step in steps)
        attempted += sum(step.tokens for step in steps if step.tokens <= 64)
    assert attempted <= 0.03 * tokens


def test_steps_without_other_processes_a_prompt_is_read_with_all_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step_scheduler, "usable_cores", lambda: CORES)
    computer = Computer(Turn(1, 0, pending_tokens=10**9), threads=None)
    assert {computer.step().threads for _ in range(200)} == {2}


def test_steps_a_fixed_number_of_threads_never_changes() -> None:
    writer = Turn(1, 0)
    computer = Computer(writer, threads=3)
    for number in range(300):
        if number == 200:
            computer.turns.append(Turn(2, 1, pending_tokens=5000))
        assert computer.step().threads == 3
    assert computer.scheduler.threads == 3


def test_a_step_has_at_most_as_many_threads_as_there_are_free_cores() -> None:
    computer = Computer(Turn(1, 0), threads=None)
    assert computer.step().threads == 2
    computer.free_cores = 1
    assert {computer.step().threads for _ in range(300)} == {1}
    assert computer.scheduler.threads == 1
    computer.turns = [Turn(2, 0, pending_tokens=5000)]
    assert {computer.step().threads for _ in range(5)} == {1}
    computer.free_cores = 2
    computer.turns = [Turn(3, 0)]
    assert 2 in {computer.step().threads for _ in range(40)}


def test_steps_an_answer_alone_is_drafted_and_answers_together_are_not() -> None:
    first, second = Turn(1, 0, drafted=32), Turn(2, 1, drafted=8)
    assert Computer(first).step().tokens == 33
    assert Computer(first, second).step().tokens == 2
    reader = Turn(3, 2, pending_tokens=1000)
    tokens = [step.tokens for step in _steps(Computer(first, reader), 9) if not step.is_prefill]
    assert set(tokens) == {9}, "a long draft delays the answer in addition to the prompt"


def test_steps_with_drafts_measure_their_costs_and_not_the_threads() -> None:
    turn = Turn(1, 0)
    computer = Computer(turn, threads=None)
    _steps(computer, 5)
    turn.drafted = 8
    computer.slow_s = 1.0  # a step with a draft takes longer than nine steps without
    before = computer.scheduler.threads
    _steps(computer, 40)
    assert computer.scheduler.threads == before
    assert not computer.scheduler.draft_costs.has_saved_time(8, 8)


def _steps(computer: Computer, count: int) -> list[Step]:
    return [computer.step() for _ in range(count)]


def test_a_fixed_number_of_threads_is_not_limited_by_other_processes() -> None:
    computer = Computer(Turn(1, 0), threads=2)
    computer.free_cores = 1
    assert {computer.step().threads for _ in range(50)} == {2}
