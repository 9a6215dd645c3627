"""The invariants of sessions hold for any order of sends, cancellations, closes and crashes."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.agents import LocalAgent
from koel_tui.engine import Engine, ModelSpec
from koel_tui.protocol import ChatState, RunPhase
from koel_tui.session import ChatSession, KoelClient
from koel_tui.storage import MemoryStorage
from tests.engine.scripted import StrictLink
from tests.hostile_summary import Tally

THREADS = 3
STEPS = 3000
"""Iterations of the event loop within which every started call must end."""


class Schedule:
    """Threads on one scripted native side, with a method for each step."""

    def __init__(self) -> None:
        self.link = StrictLink()
        self.storage = MemoryStorage()
        self.agent = LocalAgent(self._load)
        self.client = KoelClient(self.agent, storage=self.storage)
        self.sessions: list[ChatSession] = [
            self.client.new_session(f"t{number}") for number in range(THREADS)
        ]
        self.said = [0] * THREADS
        self.sends: list[asyncio.Future[None]] = []
        self.cancelled: dict[int, ChatState] = {}  # the cancelled states, by thread number

    async def _load(self, progress: Callable[[float], None]) -> Engine:
        engine = Engine(self.link, ModelSpec(Path("none.gguf")), max_sessions=None)
        await engine.start()
        return engine

    # Steps; the argument `pick` selects the session

    def do_send(self, pick: int) -> None:
        number = pick % THREADS
        session = self.sessions[number]
        if session.disposed or session.state.phase is RunPhase.RUNNING:
            return
        self.cancelled.pop(number, None)
        self.said[number] += 1
        self.sends.append(asyncio.ensure_future(session.send(f"question {self.said[number]}")))

    def do_cancel(self, pick: int) -> None:
        number = pick % THREADS
        session = self.sessions[number]
        if session.disposed:
            return
        ran = session.state.phase is RunPhase.RUNNING
        began = time.perf_counter()
        session.cancel()
        assert time.perf_counter() - began < 0.05
        if ran:
            assert session.state.phase is RunPhase.CANCELLED
            self.cancelled[number] = session.state

    def do_cancel_twice(self, pick: int) -> None:
        self.do_cancel(pick)
        before = self.sessions[pick % THREADS].state
        self.do_cancel(pick)
        assert self.sessions[pick % THREADS].state is before

    def do_cancel_and_send(self, pick: int) -> None:
        self.do_cancel(pick)
        self.do_send(pick)

    def do_cancel_and_close(self, pick: int) -> None:
        if pick == 5:  # rare, because nothing more happens in that thread
            self.do_cancel(pick)
            self.sends.append(asyncio.ensure_future(self._close(pick % THREADS)))

    async def _close(self, number: int) -> None:
        await self.sessions[number].dispose()

    def do_say(self, pick: int) -> None:
        for session in list(self.link.turns):
            self.link.say(session, "a ", "b ")

    def do_end(self, pick: int) -> None:
        for session in list(self.link.turns):
            self.link.end(session)

    def do_fail(self, pick: int) -> None:
        for session in list(self.link.turns):
            self.link.fail(session, "llama_decode failed")

    def do_crash(self, pick: int) -> None:
        if pick == 0:
            self.link.crash()

    def check(self) -> None:
        """Check the invariants."""
        assert len(self.link.turns) <= 1, "two native turns at once"
        for number, left in self.cancelled.items():
            assert self.sessions[number].state is left, "something came after the cancel"
        for number, session in enumerate(self.sessions):
            asked = [each.content for each in session.state.messages if each.role == "user"]
            assert asked == sorted(asked, key=lambda text: int(text.split()[1]))
            assert len(asked) <= self.said[number]

    async def run(self, steps: list[tuple[str, int]]) -> None:
        await self.agent.load()
        for name, pick in steps:
            if name == "wait":
                for _ in range(4 * pick + 1):
                    await asyncio.sleep(0)
            else:
                getattr(self, f"do_{name}")(pick)
            self.check()
        await self._finish()

    async def _finish(self) -> None:
        for _ in range(STEPS):
            for running in list(self.link.turns):
                self.link.end(running)
            if all(each.done() for each in self.sends):
                break
            await asyncio.sleep(0)
        waiting = [each for each in self.sends if not each.done()]
        assert not waiting, f"a send hangs: {waiting}"
        for each in self.sends:
            assert each.exception() is None
        for number, session in enumerate(self.sessions):
            await session.dispose()
            assert not session.state.phase.is_running
            asked = [each.content for each in session.state.messages if each.role == "user"]
            assert len(asked) == self.said[number], "a message of the user's is lost"
            if self.said[number]:
                saved = await self.storage.load(f"t{number}")
                assert saved is not None and saved.error is None
                assert saved.messages == session.state.messages
        await self.client.dispose()
        await self.agent.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}, "something still runs"


STEP_NAMES = ["wait", *(name[3:] for name in dir(Schedule) if name.startswith("do_"))]
USUAL = ["send", "send", "wait", "wait", "say", "wait", "end"] * 2
"""The usual steps, repeated so that most schedules contain turns that can be cancelled."""
steps = st.lists(
    st.tuples(st.sampled_from([*USUAL, *STEP_NAMES]), st.integers(0, 5)), min_size=15, max_size=60
)


def schedules_tried(count: int, tally: Tally) -> None:
    tried: list[int] = []

    @settings(max_examples=count, deadline=None, derandomize=True)
    @given(steps)
    def schedule_keeps_the_rules(schedule: list[tuple[str, int]]) -> None:
        asyncio.run(Schedule().run(schedule))
        tried.append(len(schedule))

    schedule_keeps_the_rules()
    tally("cancellation", tried=len(tried))


def test_any_schedule_of_cancels_keeps_the_rules(tally: Tally) -> None:
    schedules_tried(100, tally)


@pytest.mark.slow
def test_five_hundred_schedules_of_cancels_keep_the_rules(tally: Tally) -> None:
    schedules_tried(500, tally)
