"""Faulty native side, files and callbacks for the state machine in `test_client_machine`."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import suppress
from datetime import datetime
from typing import Any

from ag_ui.core import RunAgentInput
from filelock import FileLock

from koel_tui.agents import LocalAgent
from koel_tui.engine.engine import Engine
from koel_tui.engine.types import ToolCallDelta
from koel_tui.engine.wire_messages import Command, Done, OpenSession, SaveKv
from koel_tui.protocol import ChatState, Event, TurnSettings, settle
from koel_tui.protocol.codec.state_codec import decode_state
from koel_tui.session import KoelClient, Next, keep_usage, tool_handler
from koel_tui.session.tool_loop import MAX_ROUNDS
from koel_tui.storage import JsonFileStorage, StorageError
from koel_tui.storage.thread_record import parse_json
from koel_tui.system.clock import utc_now
from tests.engine.scripted import StrictLink

PERMIT_DEADLINE = 2.0


class Native(StrictLink):
    """A native side that holds back snapshots while `slow_snapshots` is set."""

    def __init__(self) -> None:
        super().__init__()
        self.slow_snapshots = False
        self.names: dict[int, str] = {}
        self._saving: list[int] = []
        self._calls = 0
        self.tool_rounds: Counter[str] = Counter()
        """The number of tool calls in the last run of each thread."""

    def send(self, command: Command) -> None:
        if isinstance(command, SaveKv) and self.slow_snapshots:
            self._saving.append(command.call)
            return
        if isinstance(command, OpenSession):
            self.names[command.session] = command.name
        super().send(command)

    def finish_snapshots(self) -> None:
        saving, self._saving = self._saving, []
        for call in saving:
            self.emit(Done(call))

    def use_tool(self, session: int) -> None:
        """Call the raising tool and end the turn. In the last allowed round, only end the turn."""
        name = self.names[session]
        self.tool_rounds[name] += 1
        if self.tool_rounds[name] == MAX_ROUNDS:
            self.end(session, tokens=400)
            return
        self._calls += 1
        self.call_tool(
            session, ToolCallDelta(f"call{self._calls:05}", raising_tool.tool.name, "{}")
        )
        self.end(session, reason="tool_calls", tokens=400)


class Files(JsonFileStorage):
    """A storage whose saves fail while `broken`: "before" the write, or "after" it.

    "encrypted" simulates that another program has encrypted the threads.
    """

    broken = ""

    def encrypt_on_request(self) -> None:
        check = self.codec.check_directory

        def check_directory() -> None:
            if self.broken == "encrypted":
                raise StorageError("The threads are encrypted.")
            check()

        self.codec.check_directory = check_directory  # type: ignore[method-assign] # the seam

    def on_disk(self, thread: str) -> list[ChatState]:
        """Return the states stored in the file of a thread and in its conflict files."""
        path = self.directory / f"{self.codec.stem(thread)}.json"
        paths = [path, *path.parent.glob(f"{path.stem}.conflict-*.json")]
        return [
            settle(decode_state(parse_json(each.read_bytes())["state"]))
            for each in paths
            if each.exists()
        ]

    def locks_held(self) -> list[str]:
        held = []
        for path in (self.directory / "locks").glob("*.lock"):
            try:
                FileLock(path, thread_local=False).acquire(timeout=0).lock.release()
            except TimeoutError:
                held.append(path.name)
        return held

    async def save(self, thread_id: str, state: ChatState) -> None:
        await self._write(super().save(thread_id, state))

    async def save_conflict(self, thread_id: str, state: ChatState) -> None:
        if self.broken:
            raise StorageError("The disk is full. Make room.")
        await super().save_conflict(thread_id, state)

    async def update_meta(self, thread_id: str, /, **fields: Any) -> None:
        await self._write(super().update_meta(thread_id, **fields))

    async def _write(self, job: Coroutine[Any, Any, None]) -> None:
        if self.broken == "before":
            job.close()
            raise StorageError("The disk is full. Make room.")
        await job
        if self.broken == "after":
            raise StorageError("The disk did not answer.")


class ClockError(Exception):
    """The clock raised."""


class Clock:
    """A clock that raises while it is broken."""

    broken = False

    def __call__(self) -> datetime:
        if self.broken:
            raise ClockError("The clock cannot be read.")
        return utc_now()


async def permits_are_free(engine: Engine) -> None:
    """Wait until the turns of cancelled runs have ended, and check that all permits are free."""
    mutex = engine._mutex
    with suppress(TimeoutError):
        async with asyncio.timeout(PERMIT_DEADLINE):
            while mutex.held or mutex.waiting:
                await asyncio.sleep(0.001)
    assert (mutex.held, mutex.waiting) == (0, 0), "a permit is held while nothing runs"


async def _raise() -> None:
    raise RuntimeError("a tool raised")


raising_tool = tool_handler(_raise, name="broken")


def last_text(state: ChatState) -> str:
    return next((each.content for each in reversed(state.messages) if each.role == "user"), "")


def raising_reducer(state: ChatState, event: Event) -> ChatState:
    if last_text(state) == "boom reducer":
        raise RuntimeError("a reducer raised")
    return keep_usage(state, event)


async def raising_interceptor(
    run: RunAgentInput, settings: TurnSettings | None, following: Next
) -> AsyncIterator[Event]:
    async for event in following(run, settings):
        yield event
        if run.messages and run.messages[-1].content == "boom interceptor":
            raise LookupError("an interceptor raised")


class RaisingObserver:
    def on_event(self, thread_id: str, event: Event) -> None:
        raise ValueError("an observer raised")

    def on_state(self, thread_id: str, state: ChatState) -> None:
        if last_text(state) == "boom observer":
            raise ValueError("an observer raised")


def faulty_client(agent: LocalAgent, files: Files, clock: Clock) -> KoelClient:
    """Return a client whose callbacks can all raise."""
    return KoelClient(
        agent,
        files,
        reducers=[raising_reducer],
        interceptors=[raising_interceptor],
        observers=[RaisingObserver()],
        clock=clock,
        save_interval=0,
    )
