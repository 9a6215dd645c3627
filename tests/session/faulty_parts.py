"""The native side, files and callbacks of the machine in `test_client_machine`, which go wrong."""

from collections.abc import AsyncIterator, Coroutine
from typing import Any

from ag_ui.core import RunAgentInput

from koel_tui.engine.wire_messages import Command, Done, OpenSession, SaveKv
from koel_tui.protocol import ChatState, Event, TurnSettings
from koel_tui.session import Next, keep_usage
from koel_tui.storage import JsonFileStorage, StorageError
from tests.engine.scripted import StrictLink


class Native(StrictLink):
    """A native side whose snapshots take as long as the machine wants."""

    def __init__(self) -> None:
        super().__init__()
        self.slow_snapshots = False
        self.names: dict[int, str] = {}
        self._saving: list[int] = []

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


class Files(JsonFileStorage):
    """Files whose writes fail while `broken`: "before" the write, or "after" it."""

    broken = ""

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
