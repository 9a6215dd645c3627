"""An `EngineHost` with its event loop, on a runner with faults in its native calls."""

import asyncio
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest

from koel_tui.engine import (
    ChatMessage,
    EngineHost,
    EngineSession,
    ModelSpec,
    Sampling,
    TextDelta,
    TurnSettings,
)
from koel_tui.engine.runner import process_transport
from koel_tui.engine.runner.process_transport import ProcessTransport
from koel_tui.engine.runner.transport import Transport
from tests.engine.faults import Faults, Hit
from tests.engine.lora_file import write_adapter
from tests.engine.tiny_models import WIDTH, write_sliding_model

T = TypeVar("T")
DEADLINE_S = 30.0
"""The deadline of each call in seconds, for a busy machine."""
CAP = 8
GREEDY = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=8)
SHORT = (ChatMessage("user", "abc"),)


def raising(fraction: float) -> None:
    """A callback that raises."""
    raise ValueError(f"a callback raised at {fraction}")


class Rig:
    """A loaded host, and methods that use it within a deadline."""

    def __init__(self, folder: Path, slots: int = 2) -> None:
        """`slots` is the maximum; the runner begins with two, one for each parallel turn."""
        self.folder = folder
        self._slots = slots
        self.faults = Faults(folder)
        self.adapter = self.new_adapter("adapter")
        self.other_adapter = self.new_adapter("other", 0.5)
        self.unhandled: list[dict[str, Any]] = []
        self.failures: list[Exception] = []
        self._answers: dict[str, str] = {}
        self._model = write_sliding_model(folder / "tiny.gguf", edges=True)
        self.start()

    def new_adapter(self, name: str, strength: float = 0.3) -> Path:
        """Write an adapter file that the runner has not loaded."""
        path = self.folder / f"{name}.gguf"
        return write_adapter(
            path, strength=strength, architecture="gemma3", layers=2, shape=(WIDTH, 4 * 32)
        )

    def start(self) -> None:
        """Load a host, with a progress callback that raises at each call."""
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(lambda _, context: self.unhandled.append(context))
        log = self.folder / "log"

        class Host(EngineHost):
            @classmethod
            def _create_transport(cls) -> Transport:
                return ProcessTransport(log)

        def command(module: str, *arguments: str) -> tuple[str, ...]:
            faults = f"--faults={self.folder}"
            return (sys.executable, "-m", "tests.engine.faulty_runner", faults, *arguments)

        spec = ModelSpec(
            self._model, context_tokens=1024, slots=self._slots, threads=1, batch_tokens=64
        )
        self.faults.disarm()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(process_transport, "module_command", command)
            loading = Host.load(spec, max_sessions=CAP, parallel=2, on_progress=raising)
            self.host = self.do(loading)
        self.pid = self.process
        self.expected = self.do(self.answer(SHORT))

    @property
    def process(self) -> int | None:
        """The process id of the runner."""
        link: Any = self.host._worker._transport
        assert isinstance(link, ProcessTransport)
        return link.pid

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine within the deadline."""
        return self.loop.run_until_complete(asyncio.wait_for(work, DEADLINE_S))

    def call(self, function: Callable[[], T]) -> T:
        """Call a function on the event loop."""

        async def call() -> T:
            return function()

        return self.do(call())

    def pause(self, turns: int) -> None:
        """Let tasks continue for some iterations of the event loop."""

        async def pause() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.do(pause())

    async def answer(
        self,
        messages: tuple[ChatMessage, ...],
        settings: TurnSettings = GREEDY,
        lora: Path | None = None,
    ) -> str:
        """Return the answer of a fresh session, cached by messages, settings and adapter."""
        key = repr((messages, settings, lora))
        if key not in self._answers:
            session = await self.host.open_session(lora=lora)
            try:
                self._answers[key] = await said(session, messages, settings)
            finally:
                await session.close()
        return self._answers[key]

    async def check_idle(self) -> None:
        """Check that no turn runs or waits, and that a session answers."""
        mutex = self.host._mutex
        assert mutex.held == mutex.waiting == 0, "a permit is held while nothing runs"
        session = await self.host.open_session()
        assert await said(session, SHORT) == self.expected
        await session.close()
        assert mutex.held == mutex.waiting == 0
        self.check()

    def check(self) -> None:
        """Check the invariants."""
        assert self.process == self.pid, "the runner was started again"
        assert self.host.card is not None
        assert self.unhandled == []

    async def known_natively(self, sessions: set[int]) -> None:
        """Wait until the native side holds tokens of these sessions only."""
        report = self.host.memory.sessions
        while not {each.session for each in report} <= sessions:
            await asyncio.sleep(0.005)
            report = self.host.memory.sessions

    def close(self) -> None:
        """Close the engine and check that no process is left."""
        processes = self._processes()
        try:
            self.do(self.host.close())
            _, alive = psutil.wait_procs(processes, timeout=DEADLINE_S)
            assert alive == [], "a process is left"
        finally:
            self._discard(processes)

    def restart(self) -> None:
        """Close the engine and load another one, whose context has not grown."""
        self.close()
        self.start()

    def discard(self) -> None:
        """Kill the runner and close the event loop, in any state."""
        self._discard(self._processes())

    def _processes(self) -> list[psutil.Process]:
        if self.process is None or not psutil.pid_exists(self.process):
            return []
        runner = psutil.Process(self.process)
        return [*runner.children(recursive=True), runner]

    def _discard(self, processes: list[psutil.Process]) -> None:
        for process in processes:
            with suppress(psutil.Error):
                process.kill()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0.01))
        self.loop.close()

    def hits_for(self, since: int, session: int) -> list[Hit]:
        """Return the calls that raised for a session, without the first `since` calls."""
        return [hit for hit in self.faults.hits()[since:] if session in hit.sessions]


async def said(
    session: EngineSession,
    messages: tuple[ChatMessage, ...],
    settings: TurnSettings = GREEDY,
) -> str:
    """Return the text of an answer."""
    deltas = session.stream(messages, settings)
    return "".join([delta.text async for delta in deltas if isinstance(delta, TextDelta)])


@contextmanager
def rig_in(folder: Path, slots: int = 2) -> Iterator[Rig]:
    """A rig that is closed at the end, while the last fault is still set."""
    rig = Rig(folder, slots)
    try:
        yield rig
    except BaseException:
        rig.discard()
        raise
    rig.close()
