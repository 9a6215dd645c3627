"""The base of a state machine over an `EngineHost`: its state and its invariants."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from koel_tui.engine import (
    Delta,
    EngineCrashedError,
    EngineError,
    EngineSession,
    Finished,
    Progress,
    SessionClosedError,
    TextDelta,
)
from tests.engine.host_parts import EXACT_TOKENS, FAULTS, CallerError, FinishedAnswer, Held, Reading
from tests.engine.host_rig import CAP, GREEDY, SHORT, Rig, said


def step(**strategies: st.SearchStrategy[Any]) -> Callable[[Callable[..., None]], Any]:
    """Make a rule that may have a native call raise, and that checks the invariants afterwards.

    It does nothing if there is no session. It stores an error with the steps before it: the timing
    of the runner varies, so a second run of the same steps may pass.
    """

    def decorate(function: Callable[..., None]) -> Any:
        @wraps(function)
        def run(self: "Books", fault: tuple[str, int, str] | None, **drawn: Any) -> None:
            if "held" in drawn:
                if not self.held:
                    return
                drawn["held"] = self.held[drawn["held"] % len(self.held)]
            self.steps.append(f"{function.__name__} {drawn}, fault {fault}")
            if fault is not None:
                self.rig.faults.arm(*fault)
            with self.keeping_the_error():
                function(self, **drawn)
                self.check()

        make: Any = rule  # its overloads do not accept a mapping of strategies
        return make(fault=FAULTS, **strategies)(run)

    return decorate


class Books(RuleBasedStateMachine):
    """The state of a test: its open sessions, their turns, and checks of both."""

    def __init__(self, rig: Rig) -> None:
        super().__init__()
        self.rig = rig
        self.host = rig.host
        self.held: list[Held] = []
        self.finished_answers: list[FinishedAnswer] = []
        self.steps: list[str] = []
        self.snapshots: list[Path] = []

    @contextmanager
    def keeping_the_error(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            error.add_note("\n".join(self.steps[-12:]))
            self.rig.failures.append(error)
            raise

    def check_settled(self) -> None:
        """End every turn and check that all is idle and each session answers like a fresh one."""
        self.rig.faults.disarm()
        for held in self.held:
            if held.reading is not None:
                self.complete(held.reading)
        self.drop_ended()
        self.rig.do(self.rig.check_idle())
        for held in self.held:
            lora = held.session.options.lora
            own = GREEDY.over(held.session.options.settings)
            expected = self.rig.do(self.rig.answer(SHORT, own, lora))
            assert self.rig.do(said(held.session, SHORT, own)) == expected
        self.rig.do(self.rig.known_natively(self.numbers))
        for answer in self.finished_answers[-4:]:
            fresh = self.rig.do(self.rig.answer(answer.messages, answer.settings, answer.lora))
            assert answer.text == fresh
        self.finished_answers.clear()

    def check(self) -> None:
        """Check the invariants: the runner is the same, and exactly the held sessions are open."""
        self.rig.check()
        assert {each.number for each in self.host.sessions} == self.numbers
        for held in self.held:
            assert not held.session.closed

    def teardown(self) -> None:
        """End every turn and close; afterwards no session counts toward the limit."""
        with self.keeping_the_error():
            self.end()

    def end(self) -> None:
        self.check_settled()
        for held in list(self.held):
            self.rig.do(held.session.close())
        self.held.clear()
        self.rig.do(self.rig.known_natively(set()))
        fresh = [self.rig.do(self.host.open_session()) for _ in range(CAP)]
        for session in fresh:
            self.rig.call(session.shut)
            with pytest.raises(SessionClosedError):
                session.add(SHORT[0])
        assert self.host.sessions == ()

    @property
    def numbers(self) -> set[int]:
        return {held.session.number for held in self.held}

    @property
    def hits(self) -> int:
        return len(self.rig.faults.hits())

    def new_snapshot(self) -> Path:
        self.snapshots.append(self.rig.folder / "kv" / f"{len(self.snapshots)}.kv")
        return self.snapshots[-1]

    def shut(self, session: EngineSession) -> None:
        """Remove a closed session from `held`; the stream of its turn ends normally."""
        for held in list(self.held):
            if held.session is session:
                self.held.remove(held)
                if held.reading is not None and (session.generating or held.reading.task):
                    held.reading.stopped = True
                    self.complete(held.reading)

    async def result(self, task: "asyncio.Task[Any]") -> Any:
        """Return the result of a task, or None if it was cancelled."""
        await asyncio.wait({task})
        return None if task.cancelled() else task.result()

    def leave(
        self,
        work: Coroutine[Any, Any, Any],
        turns: int,
        hits: int,
        kind: str,
        session: EngineSession | None = None,
    ) -> Any:
        """Cancel a call after some iterations of the event loop; return its result."""
        task = self.rig.loop.create_task(work)
        self.rig.pause(turns)
        task.cancel()
        try:
            return self.rig.do(self.result(task))
        except EngineError as error:
            if kind == "SaveKv":
                raise
            self.judge(error, hits, session, kind)
            return None

    async def next(self, reading: Reading) -> Delta | None:
        """Read a delta; return None at the end. An error must belong to this request."""
        if reading.over:
            return None
        if reading.messages is None:
            reading.messages = reading.session.history
        try:
            delta = await anext(reading.stream, None)
        except Exception as error:
            reading.over = True
            if not (reading.poisoned and isinstance(error, EngineError | CallerError)):
                self.judge(error, reading.hits, reading.session)
            return None
        if isinstance(delta, TextDelta):
            reading.text += delta.text
        if isinstance(delta, Finished):
            reading.over = True
            assert not reading.poisoned
            self.finished(reading, delta)
        return delta

    def finished(self, reading: Reading, end: Finished) -> None:
        options = reading.session.options
        own = reading.settings.over(options.settings)
        if end.reason == "stopped":
            assert reading.stopped or reading.session.closed
        elif reading.stopped:
            assert reading.task is not None, "only a task can have read the end before the stop"
        elif own.sampling and not own.sampling.temperature and end.metrics.total < EXACT_TOKENS:
            assert end.reason in ("end", "length", "tool_calls")
            assert reading.messages is not None
            answer = FinishedAnswer(reading.messages, own, options.lora, reading.text)
            self.finished_answers.append(answer)

    async def rest(self, reading: Reading) -> Delta | None:
        deltas = 0
        while (delta := await self.next(reading)) is not None:
            deltas += not isinstance(delta, Finished | Progress)
        assert deltas <= 1 or not reading.stopped or reading.task is not None
        return None

    def complete(self, reading: Reading) -> None:
        self.rig.do(reading.task if reading.task is not None else self.rest(reading))  # type: ignore[arg-type]
        assert not reading.session.generating

    def drop_ended(self) -> None:
        for held in self.held:
            if held.reading is not None and held.reading.over:
                if held.reading.task is not None:
                    held.reading.task.result()
                held.reading = None

    def judge_saving(self, error: EngineError, hits: int, session: EngineSession) -> None:
        if "has no context yet" not in str(error):
            self.judge(error, hits, session, "SaveKv")

    def judge(
        self, error: Exception, hits: int, session: EngineSession | None, work: str = ""
    ) -> None:
        """Check that an error is the result of a native call that raised for this request."""
        assert isinstance(error, EngineError), repr(error)
        assert not isinstance(error, EngineCrashedError), error
        for hit in self.rig.faults.hits()[hits:]:
            if (not work or hit.work == work) and (
                session is None or session.number in hit.sessions
            ):
                return
        raise AssertionError(f"a request failed that met no exception: {error}") from error
