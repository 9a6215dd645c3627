"""The invariants hold for any order of opens, turns, stops, cancellations, errors and crashes."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.engine import (
    Delta,
    Engine,
    EngineClosedError,
    EngineError,
    EngineSession,
    Finished,
    ModelSpec,
    SessionBusyError,
    SessionClosedError,
    SessionLimitError,
)
from koel_tui.engine.turn import TurnStream
from tests.engine.scripted import QUESTION, StrictLink
from tests.hostile_summary import Tally

STEPS = 400
"""Iterations of the event loop within which every started call must end."""


class Schedule:
    """An engine and all its callers, with a method for each step."""

    def __init__(self, cap: int | None, parallel: int) -> None:
        self.cap, self.parallel = cap, parallel
        self.link = StrictLink()
        self.engine = Engine(
            self.link, ModelSpec(Path("none.gguf")), max_sessions=cap, parallel=parallel
        )
        self.places = 0  # sessions counted toward the limit, by this test
        self.counted: set[int] = set()
        self.sessions: list[EngineSession] = []
        self.tasks: list[asyncio.Task[Any]] = []
        self.streams: list[TurnStream] = []

    def spawn(self, work: Any) -> None:
        self.tasks.append(asyncio.create_task(work))

    # Steps; the argument `pick` selects the session

    def do_open(self, _: int) -> None:
        self.spawn(self._open())

    async def _open(self) -> None:
        full = self.cap is not None and self.places >= self.cap
        self.places += not full
        try:
            session = await self.engine.open_session()
        except BaseException as error:
            self.places -= not full
            assert isinstance(error, SessionLimitError) == full or isinstance(
                error, EngineClosedError | asyncio.CancelledError
            )
            raise
        assert not full, "the cap was passed"
        self.counted.add(session.number)
        self.sessions.append(session)
        self._count_closed()

    def do_create(self, _: int) -> None:
        async def create() -> None:
            session = await self.engine.create_session()
            if session not in self.sessions:
                self.sessions.append(session)

        self.spawn(create())

    def do_ask(self, pick: int) -> None:
        self._stream(pick, lambda stream: self.spawn(self._read(stream, 10_000)))

    def do_leave_early(self, pick: int) -> None:
        self._stream(pick, lambda stream: self.spawn(self._read(stream, 1 + pick % 3)))

    def do_peek(self, pick: int) -> None:
        """Read one delta and keep the stream, like a blocked reader."""

        def peek(stream: TurnStream) -> None:
            self.streams.append(stream)
            self.spawn(anext(stream))

        self._stream(pick, peek)

    def do_drop(self, pick: int) -> None:
        if self.streams:
            self.spawn(self.streams.pop(pick % len(self.streams)).aclose())

    def do_stop(self, pick: int) -> None:
        if self.sessions:
            self.sessions[pick % len(self.sessions)].stop()

    def do_close(self, pick: int) -> None:
        if self.sessions:
            self.sessions[pick % len(self.sessions)].shut()
            self._count_closed()

    def do_cancel(self, pick: int) -> None:
        pending = [task for task in self.tasks if not task.done()]
        if pending:
            pending[pick % len(pending)].cancel()

    def do_say(self, pick: int) -> None:
        self._worker(pick, lambda session: self.link.say(session, "a", "b"))

    def do_end(self, pick: int) -> None:
        self._worker(pick, self.link.end)

    def do_fail(self, pick: int) -> None:
        self._worker(pick, lambda session: self.link.fail(session, "llama_decode failed"))

    def do_crash(self, _: int) -> None:
        self.link.crash()

    def do_hold(self, _: int) -> None:
        self.link.hold_sessions = True

    def do_answer(self, _: int) -> None:
        self.link.finish_sessions()

    def do_refuse(self, pick: int) -> None:
        self.link.refuse_sessions = "no room" if pick % 2 else None

    def do_refuse_load(self, pick: int) -> None:
        self.link.refuse_load = "no such file" if pick % 2 else None

    def do_close_engine(self, pick: int) -> None:
        if pick == 0:  # rare, because later steps have little effect
            self.spawn(self.engine.close())

    # Helpers of the steps

    def _stream(self, pick: int, use: Callable[[TurnStream], None]) -> None:
        if not self.sessions:
            return
        session = self.sessions[pick % len(self.sessions)]
        busy = session.generating
        try:
            stream = session.stream(QUESTION, progress=bool(pick % 2))
        except SessionBusyError:
            assert busy
        except SessionClosedError:
            assert session.closed
        else:
            use(stream)

    async def _read(self, stream: TurnStream, most: int) -> list[Delta]:
        deltas = []
        async for delta in stream:
            deltas.append(delta)
            if len(deltas) == most:
                return deltas
        assert isinstance(deltas[-1], Finished)
        return deltas

    def _worker(self, pick: int, act: Callable[[int], None]) -> None:
        running = list(self.link.turns)
        if running:
            act(running[pick % len(running)])

    def _count_closed(self) -> None:
        for session in self.sessions:
            if session.closed and session.number in self.counted:
                self.counted.remove(session.number)
                self.places -= 1

    # Rules

    def check(self) -> None:
        """Check the invariants."""
        mutex = self.engine._mutex
        assert mutex.held <= self.parallel
        assert len(self.link.turns) <= self.parallel
        assert not (mutex.waiting and mutex.held < self.parallel), "a free permit and a waiter"
        if self.parallel == 1 or not self.link.crashes:
            # Turns are numbered when they join the queue. After a crash with several permits, a
            # turn whose session must be opened again can be overtaken by others with a permit.
            assert self.link.starts == sorted(self.link.starts), "not first come, first served"
        if self.cap is not None:
            legacy = self.engine.session is not None
            assert len(self.engine.sessions) - legacy <= self.cap
        for task in self.tasks:
            if task.done() and not task.cancelled():
                error = task.exception()
                allowed = EngineError | StopAsyncIteration
                assert error is None or isinstance(error, allowed), repr(error)

    async def run(self, steps: Sequence[tuple[str, int]]) -> None:
        """Start the engine, run the steps, wait until all calls have ended, and close it."""
        await self.engine.start()
        for _ in range(3):
            self.do_open(0)
        self.do_create(0)
        await self._settle()
        for name, pick in steps:
            if name == "wait":
                for _ in range(pick + 1):
                    await asyncio.sleep(0)
            else:
                getattr(self, f"do_{name}")(pick)
            self.check()
        await self._finish()

    async def _finish(self) -> None:
        self.link.refuse_sessions = self.link.refuse_load = None
        for stream in self.streams:
            await stream.aclose()
        await self._settle()
        assert (self.engine._mutex.held, self.engine._mutex.waiting) == (0, 0)
        assert not self.engine._turns
        self._count_closed()
        await self.engine._single_session.wait()
        # Include the engine's sessions: the caller that created one may have been cancelled.
        for session in (*self.sessions, *self.engine.sessions):
            await session.close()
        assert self.engine.sessions == ()
        if self.link.alive and not self.link.closed:
            assert not self.link.known - self.link.refused, "a session stays open natively"
        await self.engine.close()
        await self._settle()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "something still runs"

    async def _settle(self) -> None:
        """End each native turn after its start, until no caller waits."""
        for _ in range(STEPS):
            self.link.finish_sessions()
            for session in list(self.link.turns):
                self.link.end(session)
            self.check()
            if all(task.done() for task in self.tasks) and not self.link.pending:
                return
            await asyncio.sleep(0)
        waiting = [task for task in self.tasks if not task.done()]
        raise AssertionError(f"a caller hangs: {waiting}")


STEP_NAMES = ["wait", *(name[3:] for name in dir(Schedule) if name.startswith("do_"))]
USUAL = ["open", "answer", *["ask", "ask", "say", "wait", "wait", "end"] * 3]
"""The usual steps, repeated so that most schedules contain turns."""
steps = st.lists(
    st.tuples(st.sampled_from([*USUAL, *STEP_NAMES]), st.integers(0, 5)), min_size=30, max_size=90
)


def test_engine_any_schedule_keeps_the_rules(tally: Tally) -> None:
    tried: list[int] = []

    @settings(max_examples=500, deadline=None, derandomize=True)
    @given(steps, st.sampled_from([None, 0, 1, 2, 3]), st.integers(1, 3))
    def schedule_keeps_the_rules(
        schedule: list[tuple[str, int]], cap: int | None, parallel: int
    ) -> None:
        keeps_the_rules(schedule, cap, parallel)
        tried.append(len(schedule))

    schedule_keeps_the_rules()
    tally("cancellation", tried=len(tried))


def keeps_the_rules(schedule: list[tuple[str, int]], cap: int | None, parallel: int) -> None:
    problems: list[str] = []

    async def run() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: problems.append(str(context)))
        await Schedule(cap, parallel).run(schedule)

    asyncio.run(run())
    assert problems == []
