"""The local agent, which runs turns in engine sessions and converts deltas to events."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

from ag_ui.core import (
    BaseEvent,
    CustomEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    TokenUsage,
)

from koel_tui.agents.agent import ACTIVITY, METRICS, ModelInfo
from koel_tui.agents.capabilities import MemoryUse
from koel_tui.agents.coalescing import coalesce_deltas
from koel_tui.agents.snapshots import Snapshots
from koel_tui.agents.thread_sessions import ThreadSessions
from koel_tui.agents.turn_events import TurnEvents, new_id
from koel_tui.agents.turn_input import TurnInput, function_tool
from koel_tui.engine import (
    ChatMessage,
    Engine,
    EngineClosedError,
    EngineCrashedError,
    EngineError,
    EngineSession,
    Finished,
    ModelCard,
    Progress,
    RestartLimitError,
    Restarts,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from koel_tui.engine.callbacks import call_isolated
from koel_tui.engine.shared_task import SharedCall
from koel_tui.protocol import FINISH_REASON
from koel_tui.protocol.messages import OpenReasoning
from koel_tui.protocol.turn_settings import TurnSettings
from koel_tui.text import repair

EngineLoader = Callable[[Callable[[float], None]], Awaitable[Engine]]
"""Loads an engine and reports the progress, 0..1."""

PROTOCOL_VERSION = "1.0"


class LocalAgent:
    """Answers runs with a local model, one engine session per thread.

    The first `load` or run loads the engine; all threads share the weights. With `snapshots`, a
    released thread is resumed without a new prefill.
    """

    def __init__(
        self,
        loader: EngineLoader,
        defaults: TurnSettings | None = None,
        snapshots: Snapshots | None = None,
        gap_s: float = 0.0,
    ) -> None:
        """Text that arrives within `gap_s` seconds becomes one event.

        `defaults` apply to the settings that a run does not set.
        """
        self._gap_s = gap_s
        self._snapshots = snapshots
        self._loader = loader
        self._defaults = defaults or TurnSettings()
        self._loading = SharedCall[Engine]("model load")
        self._loaded_engine: Engine | None = None
        self._listeners: list[Callable[[float], None]] = []
        self._sessions = ThreadSessions(snapshots)
        self._ephemeral_sessions = ThreadSessions(snapshots=None)
        self._inputs: WeakKeyDictionary[EngineSession, TurnInput] = WeakKeyDictionary()
        self._reserved = asyncio.Lock()  # held by the run that has the reserved engine session
        self._restarts = Restarts()
        self._crash_reason = ""  # of the last load that crashed
        self._closed = False

    async def load(self, progress: Callable[[float], None] | None = None) -> ModelInfo:
        """Load the engine unless it is loaded; concurrent callers share one load.

        `progress` is called with 0..1. Raises `EngineError`; the next call retries.
        """
        card = await self._load_card(await self._engine(progress))
        return ModelInfo(
            card.name, card.context_tokens, card.notice, card.has_template, card.fitting_template
        )

    async def run(
        self,
        input: RunAgentInput,  # noqa: A002 - AG-UI names the run's input so
        settings: TurnSettings | None = None,
        *,
        lora: str | None = None,
        ephemeral: bool = False,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run; closing the iterator stops the turn.

        `settings` override the defaults field by field, `lora` is the adapter file. An `ephemeral`
        run uses the reserved engine session, which does not count against the limit, and leaves no
        context and no snapshot; such runs wait for each other. Never raises: an error becomes a
        `RunErrorEvent` with the class name of the error as its code.
        """
        yield RunStartedEvent(
            thread_id=input.thread_id, run_id=input.run_id, protocol_version=PROTOCOL_VERSION
        )
        try:
            if self._loaded_engine is None:
                yield _activity(phase="loading", fraction=0.0)
            merged = _merge_settings(input, settings, self._defaults)
            request = _Request(input, merged, lora, ephemeral)
            async with self._reserve(input.thread_id) if ephemeral else nullcontext():
                async for event in self._answer(await self._engine(), request):
                    yield event
        except EngineError as error:
            yield RunErrorEvent(message=str(error), code=type(error).__name__)
        except ValueError as error:
            yield RunErrorEvent(
                message=f"A setting of this thread is invalid: {error}. Change it and send again.",
                code="ValueError",
            )

    def ephemeral(self) -> "EphemeralAgent":
        """Return this agent for ephemeral runs."""
        return EphemeralAgent(self)

    async def release(self, thread_id: str) -> None:
        """Close the engine session of a thread, if it has one."""
        await self._sessions.release(thread_id)

    async def memory(self) -> MemoryUse | None:
        """Return the memory and disk use of the model, None while it is not loaded."""
        engine = self._loaded_engine
        if engine is None or engine.card is None:
            return None
        report = engine.memory
        resident = [each.kv_bytes for each in report.sessions if not each.parked]
        on_disk = await asyncio.to_thread(self._snapshots.size) if self._snapshots else 0
        return MemoryUse(
            weights_bytes=report.weights_bytes,
            kv_bytes=report.context_bytes,
            slots=report.slots,
            max_slots=report.max_slots,
            resident=len(resident),
            resident_bytes=sum(resident),
            parked=len(report.sessions) - len(resident),
            parked_bytes=report.parked_bytes,
            snapshots_bytes=on_disk,
        )

    async def count_tokens(self, text: str) -> int | None:
        """Return how many tokens `text` has for the model, None while it is not loaded.

        Raises `EngineError`.
        """
        engine = self._loaded_engine
        if engine is None or engine.card is None:
            return None
        return await engine.count_tokens(repair(text))

    async def close(self) -> None:
        """Stop every run and free the model's memory. Idempotent."""
        self._closed = True
        await self._ephemeral_sessions.close()
        await self._sessions.close()
        await self._loading.cancel()
        engine, self._loaded_engine = self._loaded_engine, None
        if engine is not None:
            await engine.close()

    async def _engine(self, progress: Callable[[float], None] | None = None) -> Engine:
        if self._closed:
            raise EngineClosedError
        if self._loaded_engine is not None:
            return self._loaded_engine
        if progress is not None:
            self._listeners.append(progress)
        try:
            return await self._loading.join(self._load)
        finally:
            if progress is not None:
                self._listeners.remove(progress)

    async def _load(self) -> Engine:
        self._restarts.count(asyncio.get_running_loop().time(), self._crash_reason)
        try:
            self._loaded_engine = await self._loader(self._report_progress)
        except EngineCrashedError as error:
            self._crash_reason = error.how
            raise
        return self._loaded_engine

    def _report_progress(self, fraction: float) -> None:
        for listener in tuple(self._listeners):
            call_isolated(listener, fraction)

    async def _load_card(self, engine: Engine) -> ModelCard:
        return engine.card or await engine.start()

    @asynccontextmanager
    async def _reserve(self, thread_id: str) -> AsyncIterator[None]:
        """Acquire the reserved engine session, and release it at the end."""
        async with self._reserved:
            try:
                yield
            finally:
                await self._ephemeral_sessions.release(thread_id)

    async def _session(self, engine: Engine, request: "_Request") -> EngineSession:
        """Return the engine session of the thread, a new one if the adapter has changed."""
        name, lora = request.run.thread_id, request.lora

        async def open_session(kv: Path | None) -> EngineSession:
            return await engine.open_session(name=name, lora=lora, kv=kv)

        async def create_session(_: Path | None) -> EngineSession:
            # Creation continues after its run was stopped. The next caller shares that session,
            # which may have another adapter.
            while (session := await engine.create_session(name=name, lora=lora)).name != name:
                pass
            return session

        if request.ephemeral:
            return await self._ephemeral_sessions.get(name, lora, create_session)
        return await self._sessions.get(name, lora, open_session)

    async def _answer(self, engine: Engine, request: "_Request") -> AsyncIterator[BaseEvent]:
        """Yield the events of a turn; retry it if the engine crashed before the turn began."""
        while True:
            try:
                session = await self._session(engine, request)
                async for event in self._turn(engine, session, request):
                    yield event
            except RestartLimitError:
                raise
            except EngineCrashedError as error:
                if error.begun:
                    raise
            else:
                return

    async def _turn(
        self, engine: Engine, session: EngineSession, request: "_Request"
    ) -> AsyncIterator[BaseEvent]:
        run = request.run
        messages = await self._inputs.setdefault(session, TurnInput()).convert(run.messages)
        last = run.messages[-1] if run.messages else None
        open_thought = last.thought_id if isinstance(last, OpenReasoning) else ""
        answer = TurnEvents(_answer_id(run, messages), open_thought=open_thought)
        writing = False
        prefill = request.settings.prefill or ""
        stream = session.stream(messages, request.settings, progress=True)
        async with aclosing(stream), aclosing(coalesce_deltas(stream, self._gap_s)) as deltas:
            async for delta, tokens in deltas:
                match delta:
                    case Progress(phase="queued", position=position):
                        yield _activity(phase="queued", position=position)
                    case Progress(phase="thinking"):
                        yield _activity(phase="thinking")
                    case Progress(done=done, total=total):
                        yield _activity(phase="reading", fraction=done / max(1, total))
                    case TextDelta() | ThinkingDelta() | ToolCallDelta():
                        if not writing:
                            writing = True
                            yield _activity(phase="writing")
                        if prefill and isinstance(delta, TextDelta):
                            delta, prefill = TextDelta(prefill + delta.text), ""
                        for event in answer.feed(delta, tokens):
                            yield event
                    case Finished():
                        for event in answer.finish():
                            yield event
                        card = await self._load_card(engine)
                        yield CustomEvent(name=METRICS, value=_metrics(delta, card))
                        yield _run_finished_event(run, delta, card)


@dataclasses.dataclass(frozen=True, slots=True)
class EphemeralAgent:
    """An agent that makes every run of `owner` ephemeral."""

    owner: LocalAgent

    def run(
        self,
        input: RunAgentInput,  # noqa: A002 - AG-UI names the run's input so
        settings: TurnSettings | None = None,
    ) -> AsyncIterator[BaseEvent]:
        """Return the events of one run. Closing the iterator stops it; errors are events."""
        return self.owner.run(input, settings, ephemeral=True)


@dataclasses.dataclass(frozen=True, slots=True)
class _Request:
    """One run: its input, its merged settings, its adapter, and whether it is ephemeral."""

    run: RunAgentInput
    settings: TurnSettings
    lora: str | None
    ephemeral: bool


def _merge_settings(
    run: RunAgentInput, settings: TurnSettings | None, defaults: TurnSettings
) -> TurnSettings:
    """Return the settings of a run. Tools of the input replace those of the settings."""
    merged = (settings or TurnSettings()).over(defaults)
    tools = tuple(function_tool(tool) for tool in run.tools or ())
    return dataclasses.replace(merged, tools=tools) if tools else merged


def _answer_id(run: RunAgentInput, messages: list[ChatMessage]) -> str:
    """Return the id of the answer, that of the incomplete answer if the run continues one."""
    if run.messages and run.messages[-1].role == "reasoning":  # an answer with thinking only
        return run.messages[-1].id
    if messages and messages[-1].begins_answer:
        return next(each.id for each in reversed(run.messages) if each.role == "assistant")
    return new_id()


def _activity(**value: Any) -> CustomEvent:
    return CustomEvent(name=ACTIVITY, value=value)


def _metrics(finished: Finished, card: ModelCard) -> dict[str, Any]:
    return {
        **dataclasses.asdict(finished.metrics),
        "reason": finished.reason,
        "trimmed_turns": finished.trimmed_turns,
        "model": card.name,
        "context_tokens": card.context_tokens,
        "notice": card.notice,
    }


def _run_finished_event(
    run: RunAgentInput, finished: Finished, card: ModelCard
) -> RunFinishedEvent:
    metrics = finished.metrics
    usage = TokenUsage(
        provider="koel-chat",
        model=card.name,
        input_tokens=metrics.prompt_tokens,
        output_tokens=metrics.output_tokens,
        total_tokens=metrics.total,
        cached_input_tokens=metrics.reused_tokens,
    )
    result = {FINISH_REASON: finished.reason}
    return RunFinishedEvent(
        thread_id=run.thread_id, run_id=run.run_id, usage=[usage], result=result
    )
