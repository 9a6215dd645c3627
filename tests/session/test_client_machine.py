"""Random actions on sessions in any order: engine and client agree, and no message is lost.

The engine, agent, client and files are real; only the native side is scripted. The machine
decides when saves fail and when callbacks, the clock and tools raise.
"""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from hypothesis.stateful import run_state_machine_as_test as run_machine

from koel_tui.agents import LocalAgent, Snapshots
from koel_tui.engine.engine import Engine
from koel_tui.engine.types import ModelSpec
from koel_tui.protocol import ChatState, RunPhase, Sampling, TurnSettings
from koel_tui.session import ChatSession, SessionError, autosave
from koel_tui.session import run as run_module
from koel_tui.storage import StorageError
from koel_tui.storage.recovery_files import is_continuation
from tests.session.faulty_parts import (
    Clock,
    ClockError,
    Files,
    Native,
    faulty_client,
    last_text,
    permits_are_free,
    raising_tool,
)

T = TypeVar("T")
DEADLINE = 20.0
THREADS = st.sampled_from(["a", "b", "c"])
WORDS = st.sampled_from(["hello", "hello", "boom reducer", "boom interceptor", "boom observer"])


class ClientMachine(RuleBasedStateMachine):
    """Opens, asks, stops and closes sessions with faults; checks the invariants after each step."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp())
        self.native = Native()
        self.files = Files(self.directory / "threads")
        self.files.watch(lambda: 1 / 0)
        self.files.encrypt_on_request()
        self.clock = Clock()
        self.live: dict[str, ChatSession] = {}
        self.ever: list[ChatSession] = []
        self.sends: list[asyncio.Task[None]] = []
        self.may_fail: set[str] = set()  # threads whose last run failed or was stopped
        self.acknowledged: dict[str, list[ChatState]] = {}

    @initialize()
    def begin(self) -> None:
        async def load(progress: Callable[[float], None]) -> Engine:
            engine = Engine(self.native, ModelSpec(Path("none.gguf")), max_sessions=8, parallel=2)
            await engine.start()
            self.engine = engine
            return engine

        self.agent = LocalAgent(load, snapshots=Snapshots(self.directory / "kv"))
        self.do(self.agent.load())
        self._begin_client()

    def _begin_client(self) -> None:
        self.client = faulty_client(self.agent, self.files, self.clock)
        for thread in ("a", "b", "c"):
            self.open(thread, fresh=False)

    def do(self, action: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine within the deadline."""
        return self.loop.run_until_complete(asyncio.wait_for(action, DEADLINE))

    def pause(self) -> None:
        """Let the started calls continue for some iterations of the event loop."""

        async def turns() -> None:
            for _ in range(10):
                await asyncio.sleep(0)

        self.do(turns())

    @rule(thread=THREADS, fresh=st.booleans(), pick=st.integers(0, 2))
    def open(self, thread: str, fresh: bool, pick: int = 0) -> None:
        """Open a thread, with its unsaved state (newer or older) or with its stored state."""
        if thread in self.live:
            return
        unsaved = [each for each in self.client.unsaved if each.thread_id == thread]
        try:
            saved = self.do(self.files.load(thread))
        except StorageError:
            return
        initial = unsaved[pick % len(unsaved)].state if unsaved and not fresh else saved

        async def opened() -> ChatSession:
            return self.client.new_session(thread, initial)

        session = self.do(opened())
        if session.state.phase is RunPhase.ERROR:
            self.may_fail.add(thread)  # the last run before the save failed
        self._add(session)

    def _add(self, session: ChatSession) -> None:
        self.live[session.thread_id] = session
        self.ever.append(session)

    @rule(thread=THREADS, words=WORDS, edit=st.booleans(), tools=st.booleans())
    def send(self, thread: str, words: str, edit: bool, tools: bool = True) -> None:
        session = self._idle(thread)
        if session is not None:
            self._forgive(thread, words)
            asked = [each.id for each in session.state.messages if each.role == "user"]
            offered = [raising_tool] if tools else []

            async def sending() -> None:
                try:
                    if edit and asked:
                        run = session.edit(asked[-1], words, tools=offered)
                    else:
                        run = session.send(words, tools=offered)
                except ClockError:
                    assert self.clock.broken
                else:
                    await run

            self._begin(sending())

    @rule(thread=THREADS, again=st.booleans())
    def answer_again(self, thread: str, again: bool) -> None:
        session = self._idle(thread)
        if session is not None:
            self._forgive(thread, last_text(session.state))

            async def answering() -> None:
                last = session.state.messages[-1:]
                if again or not any(each.is_continuable for each in last):
                    await session.regenerate()
                else:
                    await session.continue_answer()

            self._begin(answering())

    def _idle(self, thread: str) -> ChatSession | None:
        session = self.live.get(thread)
        return None if session is None or session.state.phase.is_running else session

    def _begin(self, action: Coroutine[Any, Any, None]) -> None:
        self.sends.append(self.loop.create_task(action))
        self.pause()

    def _forgive(self, thread: str, words: str) -> None:
        """Record whether the run that begins will fail."""
        self.native.tool_rounds[thread] = 0
        if words in ("boom reducer", "boom interceptor") or self.clock.broken:
            self.may_fail.add(thread)
        else:
            self.may_fail.discard(thread)

    # The times at which turns begin and end depend on OS threads. Draws must not depend on them,
    # so these rules have no condition.

    @rule(pick=st.integers(0, 7), text=st.sampled_from(["yes", "no, ", "<think>"]))
    def stream(self, pick: int, text: str) -> None:
        if self.native.turns:
            self._now(lambda: self.native.say(self._turn(pick), text))
            self.pause()

    @rule(
        pick=st.integers(0, 7), reason=st.sampled_from(["end", "length", "fail", "think", "tool"])
    )
    def finish(self, pick: int, reason: Any) -> None:
        if self.native.turns:
            self._now(lambda: self._finish(self._turn(pick), reason))
            self.pause()

    def _finish(self, session: int, reason: Any) -> None:
        if reason == "fail":
            self.may_fail.add(self.native.names[session])
            self.native.fail(session, "The native side failed.")
        elif reason == "think":
            self.native.think(session, "hm")
            self.native.end(session, tokens=400)
        elif reason == "tool":
            self.native.use_tool(session)
        else:
            self.native.end(session, reason=reason, tokens=400)

    def _turn(self, pick: int) -> int:
        running = sorted(self.native.turns)
        return running[pick % len(running)]

    @rule(thread=THREADS)
    def cancel(self, thread: str) -> None:
        if thread in self.live:
            self.may_fail.add(thread)
            self._now(self.live[thread].cancel)
            assert not self.live[thread].state.phase.is_running

    def _now(self, action: Callable[[], object]) -> None:
        async def done() -> None:
            action()

        self.do(done())

    @rule(thread=THREADS, wait=st.booleans())
    def close(self, thread: str, wait: bool) -> None:
        session = self.live.pop(thread, None)
        if session is not None:
            self._now(session.dispose)
            if wait:
                self.do(session.released())

    @rule(certain=st.sampled_from([False, False, True]))
    def dispose_client(self, certain: bool) -> None:
        """Dispose the client and its runs, and continue with another client."""
        if certain:
            self._let_saves_end()
            self._dispose_client()
            self.live.clear()
            self._begin_client()

    @rule(thread=THREADS)
    def reopen_what_could_not_be_saved(self, thread: str) -> None:
        """Reopen a thread from its file while the state of a closed session is still unsaved."""
        self.open(thread, fresh=False)
        self.files.broken = "before"
        self.cancel(thread)
        self.send(thread, "words that are not saved", edit=False)
        self.close(thread, wait=True)
        self.open(thread, fresh=True)
        self.send(thread, "newer words", edit=False)

    @rule(thread=THREADS)
    def persist(self, thread: str) -> None:
        session = self.live.get(thread)
        if session is not None:
            state = session.state
            try:
                self.do(session.persist())
            except StorageError:
                return
            self.acknowledged.setdefault(thread, []).append(state)

    @rule(thread=THREADS)
    def branch(self, thread: str) -> None:
        session = self.live.get(thread)
        if session is None or not session.state.messages or len(self.live) > 5:
            return
        with suppress(StorageError, SessionError):
            self._add(self.do(session.branch(session.state.messages[-1].id)))

    @rule(thread=THREADS, temperature=st.sampled_from([None, 0.0, 0.7]))
    def change_settings(self, thread: str, temperature: float | None) -> None:
        session = self.live.get(thread)
        if session is not None:
            session.settings = TurnSettings(sampling=Sampling(temperature=temperature or 0.8))
            self._now(lambda: session.update_state({"temperature": temperature}))
            with suppress(StorageError):
                self.do(session.describe(sampling={"temperature": temperature}))

    @rule(broken=st.sampled_from(["", "before", "after", "encrypted"]), slow=st.booleans())
    def change_weather(self, broken: str, slow: bool) -> None:
        """Let saves fail or succeed again, and snapshots take long or no time."""
        self.files.broken = broken
        self.native.slow_snapshots = slow
        if not slow:
            self._now(self.native.finish_snapshots)

    @rule(thread=THREADS, close=st.booleans())
    def stop_without_a_clock(self, thread: str, close: bool) -> None:
        self.change_clock(broken=False)
        self.open(thread, fresh=False)
        self.send(thread, "words of a run that is stopped", edit=False)
        self.change_clock(broken=True)
        self.close(thread, wait=False) if close else self.cancel(thread)
        self.change_clock(broken=False)

    @rule(broken=st.booleans())
    def change_clock(self, broken: bool) -> None:
        """Let the clock raise or work again; a run that gets an event while it raises fails."""
        self.clock.broken = broken
        if broken:
            self.may_fail |= {key for key in self.live if self._idle(key) is None}

    @invariant()
    def no_other_session_fails(self) -> None:
        for thread, session in self.live.items():
            if thread not in self.may_fail:
                assert session.state.phase is not RunPhase.ERROR, session.state.error

    @invariant()
    def no_acknowledged_save_is_lost(self) -> None:
        for thread, states in self.acknowledged.items():
            found = self.files.on_disk(thread)
            for state in states:
                assert any(is_continuation(state, each) for each in found), f"{thread} lost a save"

    def teardown(self) -> None:
        try:
            if hasattr(self, "client"):
                self._settle()
        finally:
            self.loop.run_until_complete(self.loop.shutdown_default_executor())
            self.loop.close()
            shutil.rmtree(self.directory, ignore_errors=True)

    def _settle(self) -> None:
        self._let_saves_end()
        self.do(self._sends_end())
        self.do(permits_are_free(self.engine))
        self.no_other_session_fails()
        self.do(self._closed_sessions_are_released())
        of_engine = sorted(session.name for session in self.engine.sessions)
        assert len(set(of_engine)) == len(of_engine)
        assert set(of_engine) <= set(self.live), "the engine has sessions that no client has"
        self._dispose_client()
        self.no_acknowledged_save_is_lost()
        for session in self.ever:
            found = self.files.on_disk(session.thread_id)
            assert not session.state.messages or any(
                is_continuation(session.state, each) for each in found
            ), f"{session.thread_id} lost what was said"
        self.do(self.agent.close())

    def _let_saves_end(self) -> None:
        self.files.broken = ""
        self.native.slow_snapshots = False
        self._now(self.native.finish_snapshots)

    def _dispose_client(self) -> None:
        self.do(self._disposed())
        self.do(self._sends_are_over())
        self.sends.clear()
        assert not self.engine.sessions, "the engine has sessions after the end"
        assert not self.native.known
        self.do(permits_are_free(self.engine))
        assert self.files.locks_held() == []

    async def _sends_end(self) -> None:
        while not all(send.done() for send in self.sends):
            for session in list(self.native.turns):
                self.native.end(session, tokens=400)
            await asyncio.sleep(0.001)
        for send in self.sends:
            send.result()

    async def _sends_are_over(self) -> None:
        await asyncio.gather(*self.sends)

    async def _closed_sessions_are_released(self) -> None:
        for session in self.client.closing:
            await session.released()

    async def _disposed(self) -> None:
        await self.client.dispose()
        while self.client.unsaved:
            await asyncio.sleep(0.001)
        for session in self.ever:
            await session.released()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 0.01)
    monkeypatch.setattr(run_module, "RELEASE_TIMEOUT", 0.05)


def _run(examples: int, steps: int) -> None:
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_machine(
        ClientMachine,
        settings=hypothesis_settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=checks,
        ),
    )


def test_sessions_in_any_order_lose_nothing_and_leave_nothing() -> None:
    _run(25, 30)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_sessions_in_any_order_lose_nothing_and_leave_nothing_many_times() -> None:
    _run(200, 50)
