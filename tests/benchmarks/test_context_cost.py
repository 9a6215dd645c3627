"""The memory of a tab, the time to grow the context, the pause of a save. Run alone, with -s."""

import asyncio
import logging
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from koel_tui.engine import ChatMessage, EngineHost, ModelSpec, Sampling, TextDelta
from koel_tui.engine.bench.bare import run_bare
from koel_tui.engine.native.context.token_batch import Chunk
from koel_tui.engine.native.loaded_model import LoadedModel
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.wire_messages import Load
from tests.benchmarks.report import line, median
from tests.engine.processes import runners

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(900)]
ROUNDS = 5
CONTEXT, PROMPT, OUTPUT = 8192, 60, 40
PYTHON_BYTES = 60_000_000
STATE_TOKENS = 2000
QUESTION = "Describe the harbour of a small town in the north, with its ships and its people."


async def memory_of_one_session(model: Path) -> int:
    """Return the memory of the runner after the first answer, with a limit of eight sessions."""
    host = await EngineHost.load(ModelSpec(model, context_tokens=CONTEXT), max_sessions=8)
    session = await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=OUTPUT)
    session.add(ChatMessage("user", QUESTION))
    await session.respond()
    (runner,) = runners()
    used = int(runner.memory_info().rss)
    await host.close()
    return used


def bare_memory(model: Path) -> int:
    numbers = [str(each) for each in (CONTEXT, PROMPT, OUTPUT)]
    command = [sys.executable, "-m", "tests.benchmarks.bare_memory", str(model), *numbers]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


async def test_memory_of_one_session_compared_with_one_bare_context(starter_path: Path) -> None:
    ours, bare = [], []
    for _ in range(ROUNDS):
        ours.append(await memory_of_one_session(starter_path) - PYTHON_BYTES)
        bare.append(await asyncio.to_thread(bare_memory, starter_path))
    print()
    print(
        line(
            "memory after the first answer, less 60 MB for Python",
            median(ours) / 1e6, median(bare) / 1e6, "MB", "bare, one context", "1.15",
        )
    )  # fmt: skip


class Growing:
    """A loaded model whose sessions have states of 2,000 tokens."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self.creating: list[float] = []
        text = "I walked to the harbour and back, and wrote down what I saw there. " * 200
        tokens = loaded.model.tokenize(text, special=False, start=True)
        self.prompt, self.last = tokens[:STATE_TOKENS], tokens[STATE_TOKENS : STATE_TOKENS + 1]
        slot = loaded.cache.prepare(0, None, self.prompt, set())
        size = loaded.context.batch_tokens
        for begin in range(0, STATE_TOKENS, size):
            part = self.prompt[begin : begin + size]
            loaded.context.decode([Chunk(slot.sequence, begin, part, wants_logits=False)])
            slot.parts.extend(part)
        real: Any = loaded.context.create

        def create(slots: int) -> Any:
            begin = time.perf_counter()
            native = real(slots)
            self.creating.append(time.perf_counter() - begin)
            return native

        self.bare_copy = self._bare_copy(slot.sequence)
        loaded.context.create = create  # type: ignore[method-assign]
        self.state = loaded.cache.copy(0)

    def _bare_copy(self, sequence: int) -> float:
        """Return the seconds that llama.cpp takes to copy a state out and in again."""
        begin = time.perf_counter()
        state = self.loaded.context.copy_state(sequence)
        self.loaded.context.load_state(sequence, state)
        return time.perf_counter() - begin

    def use(self, session: int) -> float:
        """Prepare a turn of a session; return its seconds."""
        begin = time.perf_counter()
        slot = self.loaded.cache.prepare(session, None, [*self.prompt, *self.last], set())
        seconds = time.perf_counter() - begin
        assert len(slot.parts) == STATE_TOKENS, "the state is lost"
        return seconds

    def grow(self) -> list[tuple[int, float, float, float]]:
        """Use eight sessions; return slots and seconds (create, move, load) of each growth."""
        found = []
        assert self.state is not None
        for session in range(1, 8):
            before = self.loaded.context.slots
            self.loaded.cache.add_parked(session, None, self.state)
            seconds = self.use(session)
            if self.loaded.context.slots == before:
                continue
            loading = [self.use(moved) for moved in range(before)]
            creating = self.creating[-1]
            moved = (seconds - creating - median(loading)) / before
            found.append((self.loaded.context.slots, creating, moved, median(loading)))
        return found


def test_growth_compared_with_the_bare_copy(starter_path: Path) -> None:
    times: dict[int, list[tuple[float, float]]] = {}
    copies: list[float] = []
    with NativeLog(logging.getLogger("benchmark")) as log:
        for _ in range(3):
            spec = ModelSpec(starter_path, context_tokens=CONTEXT, slots=8)
            loaded = LoadedModel(Load(spec, 8, 1), log, lambda _: True)
            growing = Growing(loaded)
            copies.append(growing.bare_copy)
            for slots, creating, moving, loading in growing.grow():
                times.setdefault(slots, []).append((creating, moving + loading))
            loaded.close()
    print()
    for slots, found in times.items():
        creating = median([each for each, _ in found]) * 1e3
        moving = median([each for _, each in found]) * 1e3
        what = f"growth to {slots} slots: moving a state of {STATE_TOKENS} tokens"
        print(line(what, moving, median(copies) * 1e3, "ms", "bare copy out and in", "60 ms"))
        print(f"growth to {slots} slots: creating the context {creating:.0f} ms")


async def test_pause_of_a_save_compared_with_the_bare_copy(
    starter_path: Path, tmp_path: Path
) -> None:
    host = await EngineHost.load(ModelSpec(starter_path, context_tokens=CONTEXT), max_sessions=8)
    writing = await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=400)
    pauses, bare = [], []
    for number in range(ROUNDS):
        saved = await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=4)
        async for _ in saved.stream([ChatMessage("user", QUESTION * 110)]):
            pass
        tokens = saved.metrics.total
        times: list[float] = []
        closing: asyncio.Task[None] | None = None
        async for delta in writing.stream([ChatMessage("user", QUESTION)]):
            if isinstance(delta, TextDelta):
                times.append(time.perf_counter())
            if len(times) == 30 and closing is None:
                closing = asyncio.create_task(saved.close(tmp_path / f"{number}.kv"))
            if len(times) == 120:
                writing.stop()
        assert closing is not None
        await closing
        gaps = [after - before for before, after in pairwise(times[20:])]
        pauses.append(max(gaps) - median(gaps))
        copied = await run_bare(
            starter_path, context_tokens=CONTEXT, prompt_tokens=tokens, output_tokens=2
        )
        bare.append(copied.out_s)
    await host.close()
    print()
    what = f"pause of an answer while {tokens} tokens of another tab are saved"
    print(line(what, median(pauses) * 1e3, median(bare) * 1e3, "ms", "bare copy", "1.2"))
