"""Two hundred turns on thirty-two sessions: all are served in the order of their requests."""

import asyncio
import random
from pathlib import Path

import pytest

from koel_tui.engine import Engine, EngineSession, Finished, ModelSpec
from tests.engine.scripted import QUESTION, StrictLink

SESSIONS, TURNS, CANCELS = 32, 200, 60


class Crowd:
    """The callers of the test; some are cancelled before or during their answer."""

    def __init__(self, parallel: int, seed: int) -> None:
        self.link = StrictLink()
        self.engine = Engine(
            self.link, ModelSpec(Path("none.gguf")), max_sessions=SESSIONS, parallel=parallel
        )
        self.chance = random.Random(seed)
        self.answered = 0
        self.left = 0

    async def ask(self, session: EngineSession) -> None:
        """Run one turn to its end."""
        deltas = [delta async for delta in session.stream(QUESTION, progress=True)]
        assert isinstance(deltas[-1], Finished)
        self.answered += 1

    async def use(self, session: EngineSession, leaving: list[bool]) -> None:
        """Run successive turns in one session, and cancel those for which `leaving` is true."""
        for leaves in leaving:
            asking = asyncio.create_task(self.ask(session))
            if leaves:
                for _ in range(self.chance.choice([1, 3, 30, 300, 800])):
                    await asyncio.sleep(0)
                    if asking.done():
                        break
                if asking.cancel():
                    self.left += 1
            await asyncio.wait([asking])
            if not asking.cancelled():
                asking.result()

    async def answer(self) -> None:
        """Act as the model: write some words for each active turn, and sometimes end one."""
        while True:
            for session in list(self.link.turns):
                if self.chance.random() < 0.3:
                    self.link.say(session, "word")
                elif self.chance.random() < 0.05:
                    self.link.end(session)
            assert len(self.link.turns) <= self.engine._mutex.held
            await asyncio.sleep(0)

    async def run(self) -> None:
        await self.engine.start()
        sessions = [await self.engine.open_session(f"{n}") for n in range(SESSIONS)]
        leaving = [True] * CANCELS + [False] * (TURNS - CANCELS)
        self.chance.shuffle(leaving)
        model = asyncio.create_task(self.answer())
        async with asyncio.timeout(30):
            await asyncio.gather(
                *(self.use(each, leaving[n::SESSIONS]) for n, each in enumerate(sessions))
            )
        model.cancel()
        await asyncio.wait([model])


@pytest.mark.parametrize("parallel", [1, 4])
@pytest.mark.parametrize("seed", range(3))
async def test_200_turns_are_served_in_order_when_some_are_cancelled(
    parallel: int, seed: int
) -> None:
    crowd = Crowd(parallel, seed)
    await crowd.run()
    assert crowd.answered + crowd.left == TURNS, "somebody was forgotten"
    assert crowd.left > CANCELS / 2, "nearly nobody left in time"
    # Turns are numbered when they join the queue.
    assert crowd.link.starts == sorted(crowd.link.starts), "not first come, first served"
    assert crowd.answered <= len(crowd.link.starts) <= TURNS
    mutex = crowd.engine._mutex
    assert (mutex.held, mutex.waiting, crowd.engine._turns) == (0, 0, {})
    await crowd.engine.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}
