"""Scripted agents, storages that fail or block on demand, and waiting without fixed delays."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunFinishedEvent,
    RunStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
)

from koel_tui.protocol import ChatState, TurnSettings
from koel_tui.storage import MemoryStorage, StorageError

T = TypeVar("T")
Answer = Callable[[RunAgentInput], AsyncIterator[BaseEvent]]
DEADLINE = 5.0


class ScriptedAgent:
    """Answers each run with the next of its answers, and repeats the last one."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.inputs: list[RunAgentInput] = []
        self.settings: list[TurnSettings | None] = []

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - as in Agent
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        self.inputs.append(input)
        self.settings.append(settings)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return answer(input)


class ReleasingAgent(ScriptedAgent):
    """An agent that records which threads are released."""

    def __init__(self, *answers: Answer) -> None:
        super().__init__(*answers)
        self.released: list[str] = []

    async def release(self, thread_id: str) -> None:
        self.released.append(thread_id)


class FailingStorage(MemoryStorage):
    """A memory storage that refuses to save while `broken`, and counts the attempts."""

    def __init__(self) -> None:
        super().__init__()
        self.broken = False
        self.attempts = 0

    async def save(self, thread_id: str, state: ChatState) -> None:
        self.attempts += 1
        if self.broken:
            raise StorageError("The disk is full. Make room.")
        await super().save(thread_id, state)


class SlowStorage(MemoryStorage):
    """A memory storage that saves only while its `gate` is open, and counts the waiting saves."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()
        self.waiting = 0
        self.most_waiting = 0

    async def save(self, thread_id: str, state: ChatState) -> None:
        self.waiting += 1
        self.most_waiting = max(self.most_waiting, self.waiting)
        await self.gate.wait()
        self.waiting -= 1
        await super().save(thread_id, state)


def begin(run: RunAgentInput) -> BaseEvent:
    return RunStartedEvent(thread_id=run.thread_id, run_id=run.run_id)


def finish(run: RunAgentInput) -> BaseEvent:
    return RunFinishedEvent(thread_id=run.thread_id, run_id=run.run_id)


def start(message_id: str) -> BaseEvent:
    return TextMessageStartEvent(message_id=message_id)


def content(message_id: str, delta: str) -> BaseEvent:
    return TextMessageContentEvent(message_id=message_id, delta=delta)


def end(message_id: str) -> BaseEvent:
    return TextMessageEndEvent(message_id=message_id)


def say(*deltas: str, gate: asyncio.Event | None = None) -> Answer:
    """Return an answer of these deltas; with a gate, it waits for the gate at the end."""

    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        message_id = f"answer-{run.run_id}"
        yield begin(run)
        yield start(message_id)
        for delta in deltas:
            yield content(message_id, delta)
        if gate is not None:
            await gate.wait()
        yield end(message_id)
        yield finish(run)

    return answer


def fail(error: BaseException, *deltas: str) -> Answer:
    """Return an answer that raises after these deltas."""

    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield start("half")
        for delta in deltas:
            yield content("half", delta)
        raise error

    return answer


def stubborn(free: asyncio.Event, waiting: asyncio.Event) -> Answer:
    """Return an answer that sets `waiting`, then ignores cancellation until `free` is set."""

    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield start("m")
        yield content("m", "Hel")
        waiting.set()
        while not free.is_set():
            try:
                await free.wait()
            except asyncio.CancelledError:
                continue
        yield content("m", "lo")

    return answer


async def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds; fail at the deadline."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.001)


def said(state: ChatState) -> list[tuple[str, str]]:
    """Return the role and the content of each message."""
    return [(message.role, message.content) for message in state.messages]


async def collected(reader: AsyncIterator[T]) -> list[T]:
    return [item async for item in reader]


def other_tasks() -> set[asyncio.Task[object]]:
    return {task for task in asyncio.all_tasks() if task is not asyncio.current_task()}
