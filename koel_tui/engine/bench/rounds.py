"""The benchmark rounds; each measures everything once, engine and bare loop."""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeGuard

from koel_tui.engine.bench.bare import BareResult, run_bare
from koel_tui.engine.bench.busy_process import busy_process
from koel_tui.engine.bench.figures import Plan, Report, Samples
from koel_tui.engine.bench.turns import ThreadGenerator, TurnTimes, run_timed
from koel_tui.engine.engine import Engine
from koel_tui.engine.host import EngineHost
from koel_tui.engine.session import EngineSession
from koel_tui.engine.types import Delta, ModelSpec, Progress
from koel_tui.protocol.turn_settings import Sampling

_GREEDY = Sampling(temperature=0)
_SHORT_ANSWER = 4
"""Answer length in tokens if only the first token is measured."""


async def measure(model: Path, plan: Plan, on_step: Callable[[str], None] | None = None) -> Report:
    """Measure the engine with `model`; `on_step` is called with the current step.

    Engine and bare loop alternate, so that both run on the same state of the machine.
    Raises `EngineError` if the model cannot be loaded or does not answer.
    """
    samples = Samples()
    for number in range(1, plan.rounds + 1):

        def report_step(what: str, number: int = number) -> None:
            if on_step is not None:
                on_step(f"round {number} of {plan.rounds}: {what}")

        await Round(model, plan, samples, report_step).run()
    return Report(model.name, plan, samples.figures())


class Round:
    """One round of all measurements."""

    def __init__(
        self, model: Path, plan: Plan, samples: Samples, report_step: Callable[[str], None]
    ) -> None:
        self._model = model
        self._plan = plan
        self._samples = samples
        self._report_step = report_step
        self._threads = ThreadGenerator()
        self._thread = f"{plan.history_tokens} tokens"

    async def run(self) -> None:
        """Measure everything once."""
        max_parallel = max(self._plan.at_once)
        self._report_step("loading")
        begin = time.perf_counter()
        engine = await self._load(parallel=max_parallel, slots=max(3, max_parallel + 1))
        load = time.perf_counter() - begin
        try:
            follow_up_s, bare = await self._measure_one_thread(engine, load)
            await self._measure_resident(engine, follow_up_s)
            await self._measure_resume(engine)
            await self._measure_busy(engine)
            for count in self._plan.at_once:
                await self._measure_concurrent(engine, count)
        finally:
            await engine.close()
        engine = await self._load(parallel=1, slots=1)
        try:
            await self._measure_parked(engine, follow_up_s, bare)
        finally:
            await engine.close()
        engine = await self._load(parallel=1, slots=2)
        try:
            await self._measure_stop(engine)
        finally:
            await engine.close()

    async def _load(self, *, parallel: int, slots: int) -> Engine:
        # llama.cpp alone does not draft, so drafts would hide the cost of everything else.
        spec = ModelSpec(
            self._model,
            context_tokens=self._plan.context_tokens,
            slots=slots,
            speculation=False,
        )
        return await EngineHost.load(spec, max_sessions=None, parallel=parallel)

    async def _open(
        self, engine: Engine, tokens: int = _SHORT_ANSWER, **more: Any
    ) -> EngineSession:
        return await engine.open_session(sampling=_GREEDY, max_output_tokens=tokens, **more)

    async def _run_bare(self, turn: TurnTimes, *, sequences: int = 1) -> BareResult:
        return await run_bare(
            self._model,
            context_tokens=self._plan.context_tokens,
            prompt_tokens=turn.metrics.prompt_tokens,
            output_tokens=turn.metrics.output_tokens,
            sequences=sequences,
        )

    async def _measure_one_thread(self, engine: Engine, load: float) -> tuple[float, BareResult]:
        """Measure prefill and decode of one thread, and the bare loop with equal token counts.

        Returns the time to the first token of a follow-up, and the results of the bare loop.
        """
        self._report_step(f"prefilling {self._thread} and generating")
        thread = await self._threads.thread(engine, self._plan.history_tokens)
        session = await self._open(engine, self._plan.output_tokens)
        turn = await run_timed(session, thread)
        self._report_step("the same with llama.cpp's own calls")
        bare = await self._run_bare(turn)
        self._samples.add("load", "s", load, bare.load)
        self._samples.add(f"prefill, {self._thread}", "tokens/s", turn.prefill, bare.prefill)
        self._samples.add(f"decode after {self._thread}", "tokens/s", turn.decode, bare.decode)
        self._samples.add("CPU threads for answers", "threads", turn.metrics.threads, bare.threads)
        follow_ups = [
            await run_timed(session, self._threads.with_new_question(thread)) for _ in range(3)
        ]
        follow_up_s = statistics.median(each.first_s for each in follow_ups)
        self._samples.add("first token, thread in front", "ms", follow_up_s * 1e3)
        extra = turn.first_s - follow_up_s
        self._samples.add("switch by reading again: extra", "ms", extra * 1e3, bare.read * 1e3)
        for each in engine.memory.sessions:
            if each.session == session.number:
                state_mb = bare.state_bytes / 1e6
                self._samples.add(f"KV of {self._thread}", "MB", each.kv_bytes / 1e6, state_mb)
        await session.close()
        return follow_up_s, bare

    async def _measure_switch(self, engine: Engine) -> float:
        """Alternate between two threads; return the time to the first token after a switch."""
        threads = [await self._threads.thread(engine, self._plan.history_tokens) for _ in "ab"]
        sessions = [await self._open(engine) for _ in threads]
        for session, thread in zip(sessions, threads, strict=True):
            await run_timed(session, thread)
            await run_timed(
                session, self._threads.with_new_question(thread)
            )  # equalizes the turns below
        times = []
        for session, thread in [*zip(sessions, threads, strict=True)] * 2:
            times.append(
                (await run_timed(session, self._threads.with_new_question(thread))).first_s
            )
        for session in sessions:
            await session.close()
        return statistics.median(times)

    async def _measure_resident(self, engine: Engine, follow_up_s: float) -> None:
        self._report_step(f"switching between two threads of {self._thread}, both resident")
        extra = await self._measure_switch(engine) - follow_up_s
        self._samples.add("switch, both resident: extra", "ms", extra * 1e3)

    async def _measure_parked(self, engine: Engine, follow_up_s: float, bare: BareResult) -> None:
        self._report_step(f"switching between two threads of {self._thread}, one of them parked")
        extra = await self._measure_switch(engine) - follow_up_s
        copying = bare.out_s + bare.in_s
        self._samples.add("switch, one parked: extra", "ms", extra * 1e3, copying * 1e3)

    async def _measure_resume(self, engine: Engine) -> None:
        self._report_step(f"resuming a thread of {self._thread}")
        thread = await self._threads.thread(engine, self._plan.history_tokens)
        session = await self._open(engine)
        again = await run_timed(session, thread)
        with tempfile.TemporaryDirectory(prefix="koel-bench-") as folder:
            snapshot = Path(folder, "thread.kv")
            begin = time.perf_counter()
            await session.save_kv(snapshot)
            self._samples.add("saving a snapshot", "ms", (time.perf_counter() - begin) * 1e3)
            await session.close()
            begin = time.perf_counter()
            session = await self._open(engine, kv=snapshot)
            opening = time.perf_counter() - begin
            turn = await run_timed(session, self._threads.with_new_question(thread))
            await session.close()
        resumed = (opening + turn.first_s) * 1e3
        self._samples.add("resume from a snapshot", "ms", resumed)
        self._samples.add("resume by reading again", "ms", again.first_s * 1e3)

    async def _measure_busy(self, engine: Engine) -> None:
        """Measure decode while another process uses a CPU core.

        The first turn is not measured: in it the number of threads adapts.
        """
        self._report_step("generating while another process uses a CPU core")
        session = await self._open(engine, self._plan.output_tokens)
        question = self._threads.question()
        async with busy_process():
            await run_timed(session, self._threads.question())
            turn = await run_timed(session, question)
            self._report_step("the same with llama.cpp's own calls")
            bare = await self._run_bare(turn)
        await session.close()
        name = "next to a busy process"
        self._samples.add(f"decode {name}", "tokens/s", turn.decode, bare.decode)
        self._samples.add(f"CPU threads {name}", "threads", turn.metrics.threads, bare.threads)

    async def _measure_concurrent(self, engine: Engine, count: int) -> None:
        """Measure `count` answers concurrently, sequentially, and in the bare loop.

        The questions are prefilled before, so only decode is measured, always of equal answers.
        """
        self._report_step(f"generating {count} answers at once")
        output = self._plan.output_tokens
        conversations = [
            (await self._open(engine, output), self._threads.question()) for _ in range(count)
        ]
        read = [await run_timed(*each) for each in conversations]
        bare = await self._run_bare(read[0], sequences=count)
        name = "1 answer" if count == 1 else f"{count} answers at once, in total"
        for _ in range(self._plan.turns):
            begin = time.perf_counter()
            turns = await asyncio.gather(*(run_timed(*each) for each in conversations))
            self._samples.add(name, "tokens/s", _rate(turns, begin), bare.decode)
            if count > 1:
                begin = time.perf_counter()
                turns = [await run_timed(*each) for each in conversations]
                rate = _rate(turns, begin)
                self._samples.add(f"{count} answers in sequence", "tokens/s", rate)
        for session, _ in conversations:
            await session.close()

    async def _measure_stop(self, engine: Engine) -> None:
        """Measure the time from a stop during prefill to the start of the next turn."""
        self._report_step(f"stopping the prefill of {self._thread}")
        thread = await self._threads.thread(engine, self._plan.history_tokens)
        prefilling, waiting = await self._open(engine), await self._open(engine)
        stopped_at = started_at = 0.0

        async def stop() -> None:
            nonlocal stopped_at
            async for delta in prefilling.stream(thread, progress=True):
                if _is_prefill(delta) and delta.done >= delta.total / 4 and not stopped_at:
                    stopped_at = time.perf_counter()
                    prefilling.stop()

        stopping = asyncio.create_task(stop())
        await asyncio.sleep(0)  # so that this turn is queued first
        async for delta in waiting.stream(self._threads.question(), progress=True):
            if _is_prefill(delta) and not started_at:
                started_at = time.perf_counter()
        await stopping
        latency = (started_at - stopped_at) * 1e3
        self._samples.add(f"stop while reading {self._thread}", "ms", latency)


def _rate(turns: Iterable[TurnTimes], begin: float) -> float:
    """Return the rate of just finished turns in output tokens per second since `begin`."""
    seconds = time.perf_counter() - begin
    return sum(turn.metrics.output_tokens for turn in turns) / seconds


def _is_prefill(delta: Delta) -> TypeGuard[Progress]:
    return isinstance(delta, Progress) and delta.phase == "reading"
