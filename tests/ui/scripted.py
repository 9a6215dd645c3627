"""An agent whose events are controlled by a test."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from ag_ui.core import (
    BaseEvent,
    CustomEvent,
    ReasoningMessageContentEvent,
    ReasoningMessageEndEvent,
    ReasoningMessageStartEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallResultEvent,
    ToolCallStartEvent,
)

from koel_tui.agents import ACTIVITY, METRICS, BoundAgent, ModelInfo
from koel_tui.protocol import FINISH_REASON, TurnSettings


class Turn:
    """One run of the agent, controlled by the test."""

    def __init__(
        self,
        asked: RunAgentInput,
        settings: TurnSettings | None = None,
        model: str | None = None,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> None:
        self.asked = asked
        self.settings = settings or TurnSettings()
        self.model, self.lora, self.ephemeral = model, lora, ephemeral
        self.closed = asyncio.Event()
        self._events: asyncio.Queue[BaseEvent | None] = asyncio.Queue()
        self._message_id = f"answer-{asked.run_id}"
        self._open = False
        self._say(RunStartedEvent(thread_id=asked.thread_id, run_id=asked.run_id))

    @property
    def prompt(self) -> object:
        """The newest message of the request."""
        return self.asked.messages[-1].content

    def write(self, text: str) -> None:
        """Stream `text` as a part of the answer."""
        if not self._open:
            self._open = True
            self._say(TextMessageStartEvent(message_id=self._message_id, role="assistant"))
        self._say(TextMessageContentEvent(message_id=self._message_id, delta=text))

    def continue_answer(self) -> None:
        """Continue the message at the end of the thread, as the local agent does."""
        self._message_id = self.asked.messages[-1].id

    def think(self, *deltas: str) -> None:
        """Stream a complete reasoning message."""
        thought = f"thought-{self.asked.run_id}"
        self._say(ReasoningMessageStartEvent(message_id=thought, role="reasoning"))
        for delta in deltas:
            self._say(ReasoningMessageContentEvent(message_id=thought, delta=delta))
        self._say(ReasoningMessageEndEvent(message_id=thought))

    def call(self, name: str, arguments: str, result: str | None = None) -> None:
        """Call a tool, and send its result unless it is None."""
        self._say(
            ToolCallStartEvent(
                tool_call_id=name, tool_call_name=name, parent_message_id=self._message_id
            )
        )
        self._say(ToolCallArgsEvent(tool_call_id=name, delta=arguments))
        self._say(ToolCallEndEvent(tool_call_id=name))
        if result is not None:
            self._say(
                ToolCallResultEvent(message_id=f"r-{name}", tool_call_id=name, content=result)
            )

    def report(self, **activity: Any) -> None:
        """Send an ACTIVITY event."""
        self._say(CustomEvent(name=ACTIVITY, value=activity))

    def measure(self, **metrics: Any) -> None:
        """End the answer, and send a METRICS event, as the local agent does."""
        self._end_message()
        self._say(CustomEvent(name=METRICS, value=metrics))

    def finish(self, reason: str | None = None) -> None:
        """End the answer and the run, with the finish reason of the model."""
        self._end_message()
        result = None if reason is None else {FINISH_REASON: reason}
        self._say(
            RunFinishedEvent(
                thread_id=self.asked.thread_id, run_id=self.asked.run_id, result=result
            )
        )
        self._events.put_nowait(None)

    def fail(self, message: str, code: str = "internal") -> None:
        """End the run with an error."""
        self.end(RunErrorEvent(message=message, code=code))

    def end(self, event: BaseEvent) -> None:
        """End the run with this event."""
        self._say(event)
        self._events.put_nowait(None)

    def _end_message(self) -> None:
        if self._open:
            self._open = False
            self._say(TextMessageEndEvent(message_id=self._message_id))

    def _say(self, event: BaseEvent) -> None:
        self._events.put_nowait(event)

    async def events(self) -> AsyncIterator[BaseEvent]:
        """Yield the events of the test until it ends the run."""
        try:
            while (event := await self._events.get()) is not None:
                yield event
        finally:
            self.closed.set()


class ScriptedAgent:
    """Implements ModelAgent. `turns` has one item for each run."""

    def __init__(self, *, load_at_once: bool = True) -> None:
        self.turns: list[Turn] = []
        self.released: list[str] = []
        self.closed = False
        self.notice = ""
        self.fitting_template = ""
        self.progress: Callable[[float], None] = lambda fraction: None
        self._loaded = asyncio.Event()
        self._load_error: Exception | None = None
        if load_at_once:
            self._loaded.set()

    def agent(self, model: str | None = None, lora: str | None = None) -> BoundAgent:
        return BoundAgent(self, model, lora)

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - as in Agent
        settings: TurnSettings | None = None,
        *,
        model: str | None = None,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        turn = Turn(input, settings, model, lora, ephemeral)
        self.turns.append(turn)
        return turn.events()

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        if progress is not None:
            self.progress = progress
        await self._loaded.wait()
        if self._load_error is not None:
            raise self._load_error
        return ModelInfo("Scripted-1B", 8192, self.notice, fitting_template=self.fitting_template)

    def end_load(self, error: Exception | None = None) -> None:
        """End the load; it fails with `error` unless that is None."""
        self._load_error = error
        self._loaded.set()

    async def release(self, thread_id: str) -> None:
        self.released.append(thread_id)

    async def close(self) -> None:
        self.closed = True
