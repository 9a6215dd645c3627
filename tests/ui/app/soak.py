"""Soak test of a window: many rounds of use, and measures of the resources that it holds.

`python -m tests.ui.app.soak TURNS FOLDER` prints the measures as JSON. The process is separate so
that the measures contain nothing else.
"""

import asyncio
import gc
import json
import sys
import threading
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

import psutil
from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.conversation.backend import Backend
from koel_tui.conversation.conversation import Conversation
from koel_tui.protocol import TurnSettings
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.search.index_updater import IndexUpdater
from koel_tui.storage.search.thread_index import ThreadIndex
from tests.ui.scripted import ScriptedAgent, Turn
from tests.ui.window import Window, opened

_ANSWER = (
    "Here is **one** answer, ",
    "with `code`:\n\n```python\n",
    "x = {n}\n```\n",
    "and more. " * 20,
)
_ROUNDS_BETWEEN_MEASURES = 10
_IDLE = 2.5
"""Seconds without a key before a measurement: the window collects garbage only while it is idle,
and checks once a second whether it is."""
_TIMEOUT_S = 8.0
_POOL = "asyncio_"
"""The name prefix of the threads that asyncio creates on demand and keeps: six at most here."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The resources of the process after `turns` turns, with one empty tab open."""

    turns: int
    memory: int
    tasks: int
    threads: int
    descriptors: int

    def exceeds(self, other: "Measure") -> bool:
        """Return whether a count, other than the memory, is higher than in `other`."""
        pairs = (
            (self.tasks, other.tasks),
            (self.threads, other.threads),
            (self.descriptors, other.descriptors),
        )
        return any(mine > theirs for mine, theirs in pairs)


class Talker(ScriptedAgent):
    """Answers immediately unless it is silent, and does not keep its turns."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.silent = False

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - as in Agent
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        turn = Turn(input)
        self.asked += 1
        turn.think("Let me see.")
        for piece in _ANSWER:
            turn.write(piece.replace("{n}", str(self.asked)))
        if not self.silent:
            turn.measure(model="Scripted-1B", prompt_tokens=9, output_tokens=9, context_tokens=8192)
            turn.finish()
        return turn.events()

    async def release(self, thread_id: str) -> None:
        """Do nothing."""


class Soak:
    """Uses a window in rounds, and measures the resources of the process."""

    def __init__(self, window: Window, agent: Talker) -> None:
        self._window, self._agent = window, agent

    async def round(self) -> None:
        """Perform every kind of action, and end with one empty tab."""
        await self._ask(3)
        await self._window.press("ctrl+n")
        await self._ask(2)
        await self._stopped()
        for panel in ("f1", "f2", "f3", "ctrl+o"):
            await self._panel(panel)
        await self._window.press("ctrl+n")
        await self._ask(4)
        await self._window.press("alt+1")
        await self._close(2)
        await self._window.press("alt+shift+w")
        await self._has(3)
        await self._close(0)

    async def _ask(self, count: int) -> None:
        for _ in range(count):
            before = self._agent.asked
            await self._window.type(f"Question {before}")
            await self._window.press("enter")
            await self._asked(before)
            await self._idle()

    async def _asked(self, before: int) -> None:
        await self._window.until(lambda: self._agent.asked > before, "a run")

    async def _stopped(self) -> None:
        self._agent.silent = True
        before = self._agent.asked
        await self._window.type("Never ending")
        await self._window.press("enter")
        await self._asked(before)
        await self._window.sees("and more.")
        self._agent.silent = False
        await self._window.press("escape")
        await self._idle()

    async def _panel(self, key: str) -> None:
        app = self._window.app
        await self._window.press(key)
        await self._window.until(lambda: len(app.screen_stack) > 1, f"the panel of {key}")
        await self._window.press("escape")
        await self._window.until(lambda: len(app.screen_stack) == 1, "no panel")

    async def _close(self, leave: int) -> None:
        """Close tabs until `leave` are left; the last one is replaced by an empty tab."""
        while len(self._tabs) > max(1, leave):
            count = len(self._tabs)
            await self._window.press("alt+w")
            await self._has(count - 1)
        if not leave:
            await self._window.press("alt+w")
            await self._window.until(lambda: self._window.tabs == ["1 New thread"], "an empty tab")

    async def _has(self, count: int) -> None:
        await self._window.until(lambda: len(self._tabs) == count, f"{count} tabs")

    async def _idle(self) -> None:
        await self._window.until(lambda: not any(each.is_busy for each in self._tabs), "the end")

    @property
    def _tabs(self) -> list[Conversation]:
        return list(self._window.app._workspace.tabs)

    async def settled(self, process: psutil.Process, first: Measure) -> Measure:
        """Measure until no count exceeds `first`, for at most `_TIMEOUT_S`."""
        end = monotonic() + _TIMEOUT_S
        while (found := self.measure(process)).exceeds(first) and monotonic() < end:
            await asyncio.sleep(0.05)
        return found

    def measure(self, process: psutil.Process) -> Measure:
        """Measure the resources after a garbage collection."""
        gc.collect()
        return Measure(
            self._agent.asked,
            process.memory_info().rss,
            len(asyncio.all_tasks()),
            sum(not each.name.startswith(_POOL) for each in threading.enumerate()),
            process.num_fds(),
        )


async def soak(turns: int, folder: Path) -> list[Measure]:
    """Use a window for at least `turns` turns, and return the measures in order."""
    agent, process = Talker(), psutil.Process()

    def connect() -> Backend:
        storage = JsonFileStorage(folder / "threads")
        index = ThreadIndex(storage, folder / "cache")
        upkeep = IndexUpdater(storage, index)
        return Backend(KoelClient(agent, storage=storage), storage, agent, upkeep, index)

    measures: list[Measure] = []
    async with opened(agent=agent, connect=connect, home=folder / "state") as window:
        await window.connected()
        used = Soak(window, agent)
        rounds = 0
        while agent.asked < turns:
            await used.round()
            rounds += 1
            if rounds == 1 or rounds % _ROUNDS_BETWEEN_MEASURES == 0:
                await asyncio.sleep(_IDLE)
                measures.append(used.measure(process))
        measures.append(await used.settled(process, measures[0]))
    return measures


if __name__ == "__main__":
    found = asyncio.run(soak(int(sys.argv[1]), Path(sys.argv[2])))
    print(json.dumps([asdict(each) for each in found]))
