"""The engine: one set of weights, many sessions, one generation queue."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import ClassVar, Self, Unpack

from koel_tui.engine.callbacks import call_isolated
from koel_tui.engine.errors import (
    EngineClosedError,
    EngineCrashedError,
    EngineError,
    SessionLimitError,
)
from koel_tui.engine.history import History
from koel_tui.engine.mutex import GenerationMutex
from koel_tui.engine.options import SessionSettings, check_supported, session_options
from koel_tui.engine.postponed_saves import PostponedSaves
from koel_tui.engine.runner.transport import Transport
from koel_tui.engine.runner.worker_client import WorkerClient
from koel_tui.engine.session import EngineSession
from koel_tui.engine.shared_task import SharedTask
from koel_tui.engine.single_flight import ProgressCallback, SingleFlights
from koel_tui.engine.single_session import SingleSession
from koel_tui.engine.turn import Turn
from koel_tui.engine.types import (
    MemoryReport,
    ModelCard,
    ModelSpec,
    SessionOptions,
)
from koel_tui.engine.wire_messages import (
    CloseSession,
    Counted,
    CountTokens,
    Event,
    Load,
    OpenSession,
    SaveKv,
    StartTurn,
)
from koel_tui.protocol.turn_settings import TurnSettings


class Engine:
    """Weights shared by sessions, in this process. Create one with `await Engine.load(spec)`.

    Use it from one event loop only. Native calls run on a worker thread. The arguments are those
    of `load`; an engine created without `load` loads the model at its first call.
    """

    # Running loads, shared by all engines: `load` is a class method, and two concurrent calls for
    # the same weights must not load them into memory twice.
    _loads: ClassVar[SingleFlights] = SingleFlights()

    def __init__(
        self,
        link: Transport,
        spec: ModelSpec,
        *,
        max_sessions: int | None = 8,
        parallel: int = 1,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        if max_sessions is not None and max_sessions < 0:
            raise ValueError(f"max_sessions must be at least 0 or None, not {max_sessions}")
        if spec.slots is not None and spec.slots < parallel:
            raise ValueError(f"slots must be at least parallel ({parallel}), not {spec.slots}")
        self._max_sessions = max_sessions
        check_supported(spec)
        self._spec = spec
        self._mutex = GenerationMutex(parallel, lambda: call_isolated(self._saves.flush))
        self._worker = WorkerClient(
            link,
            Load(spec, max_sessions, parallel),
            on_turn=self._on_turn_event,
            on_crash=self._on_crash,
            on_progress=on_progress,
        )
        self._saves = PostponedSaves(lambda: self._mutex.is_idle, self._worker.request)
        self._single_session = SingleSession(self._open)
        self._sessions: dict[int, EngineSession] = {}  # opened by `open_session`
        self._opening_count = 0
        self._known_sessions: set[int] = set()  # numbers of the sessions the worker knows
        self._open_futures: dict[
            int, asyncio.Future[None]
        ] = {}  # by session number, until answered
        self._turns: dict[int, tuple[Turn, EngineSession]] = {}
        self._closing: SharedTask[None] | None = None

    @classmethod
    async def load(
        cls,
        spec: ModelSpec,
        *,
        max_sessions: int | None = 8,
        parallel: int = 1,
        on_progress: ProgressCallback | None = None,
    ) -> Self:
        """Load the weights and return the engine.

        `max_sessions` limits open sessions (None: no limit), `parallel` is how many turns may
        generate at once, `on_progress` is called with 0..1 while loading. Concurrent calls with
        equal arguments share one engine, or one `ModelLoadError`; closing that engine closes it
        for all of them. A call after the load has finished loads another engine.
        Raises `ModelLoadError`, `EngineCrashedError`, `UnsupportedError` for a projector, and
        ValueError for a number out of range.
        """

        async def load(progress: ProgressCallback) -> Self:
            engine = cls(
                cls._create_transport(),
                spec,
                max_sessions=max_sessions,
                parallel=parallel,
                on_progress=progress,
            )
            try:
                await engine.start()
            except BaseException:  # a cancelled load must not leave a child process
                await engine.close()
                raise
            return engine

        key = (cls, asyncio.get_running_loop(), spec, max_sessions, parallel)
        return await cls._loads.join(key, load, on_progress)

    @classmethod
    def _create_transport(cls) -> Transport:
        # Imported here, because the import loads llama.cpp into this process.
        from koel_tui.engine.runner.thread_transport import ThreadTransport

        return ThreadTransport()

    async def start(self) -> ModelCard:
        """Load the model if it is not loaded, and return its card.

        Raises `ModelLoadError`, `EngineCrashedError` or `EngineClosedError`.
        """
        self._check_open()
        return await self._worker.start()

    @property
    def card(self) -> ModelCard | None:
        """The card of the loaded model; None between a crash and the next call."""
        return self._worker.card

    @property
    def memory(self) -> MemoryReport:
        """The RAM use last reported by the worker; zeros while nothing is loaded."""
        return self._worker.memory

    @property
    def session(self) -> EngineSession | None:
        """The session of `create_session`; None before the first one and after its close."""
        return self._single_session.current

    @property
    def sessions(self) -> tuple[EngineSession, ...]:
        """The open sessions: that of `create_session` first, then the others, oldest first."""
        single = () if self.session is None else (self.session,)
        return (*single, *self._sessions.values())

    async def open_session(
        self,
        name: str = "",
        settings: TurnSettings | None = None,
        **keywords: Unpack[SessionSettings],
    ) -> EngineSession:
        """Return a new independent session on the shared weights; `name` is a label.

        `settings` apply to each turn of the session; a keyword of `SessionSettings` that is not
        None replaces the field of the same name. Raises, before any native call,
        `SessionLimitError` at the limit, `UnsupportedError` for an unsupported feature,
        `ModelLoadError` for a missing adapter and ValueError with the allowed range for an invalid
        value; later `ModelLoadError` for an incompatible adapter, `EngineClosedError` and
        `EngineCrashedError`.
        """
        self._check_open()
        self._check_session_limit()
        options = session_options(self._spec, name, settings, **keywords)
        self._opening_count += 1  # before the first await, so concurrent opens can't exceed the cap
        try:
            session = await self._open(options)
        finally:
            self._opening_count -= 1
        self._sessions[session.number] = session
        return session

    async def create_session(
        self,
        name: str = "",
        settings: TurnSettings | None = None,
        **keywords: Unpack[SessionSettings],
    ) -> EngineSession:
        """Replace `engine.session` and return the new one, which `max_sessions` does not count.

        Concurrent callers share one creation and its errors; the first caller's settings apply.
        Raises the errors of `open_session` except `SessionLimitError`.
        """
        self._check_open()
        return await self._single_session.create(
            lambda: session_options(self._spec, name, settings, **keywords)
        )

    async def count_tokens(self, text: str) -> int:
        """Return the number of tokens in `text`.

        Control tokens in `text` are counted as plain text. Raises `EngineClosedError`,
        `EngineCrashedError`, and `ModelLoadError` when reloading the model fails.
        """
        self._check_open()
        answer = await self._worker.call(lambda call: CountTokens(call, text))
        assert isinstance(answer, Counted)  # noqa: S101 - the native side answers a call in kind
        return answer.tokens

    async def close(self) -> None:
        """Close all sessions, fail all turns and calls, free the model. Idempotent."""
        if self._closing is None:
            self._closing = SharedTask(self._close(), "engine close")
        await self._closing.result()

    async def _close(self) -> None:
        self._saves.flush()
        self._fail_turns(EngineClosedError())
        for session in self.sessions:
            session.shut()
        await self._worker.close()
        await self._single_session.wait()

    # Interface for sessions and turns (`SessionHost`, `TurnHost`)

    def start_turn(
        self,
        session: EngineSession,
        history: History,
        settings: TurnSettings,
    ) -> Turn:
        """Queue a turn of `session` that answers `history`. Raises `EngineClosedError`."""
        self._check_open()
        turn = Turn(self._worker.number(), session.number, history, settings, self)
        self._turns[turn.number] = (turn, session)
        turn.enter(self._mutex)
        return turn

    async def save_kv(self, session: EngineSession, path: Path, budget_bytes: int) -> None:
        """Write a KV snapshot of `session` when no turn is generated. Raises `EngineError`."""
        self._check_open()
        await self._open_in_worker(session)
        self._check_open()
        await self._saves.add(
            session.number, lambda call: SaveKv(call, session.number, path, budget_bytes)
        )

    async def save_and_close(self, session: EngineSession, path: Path, budget_bytes: int) -> None:
        """Write a KV snapshot of `session` and free its slot. Raises `EngineError`.

        Both commands are sent before this waits: the session is closed at once, and the worker
        writes the snapshot first because it handles commands in order.
        """
        if (
            session.number not in self._known_sessions
        ):  # never opened in the worker, or lost in a crash
            self.close_session(session)
            return
        try:
            saving = self._worker.request(
                lambda call: SaveKv(call, session.number, path, budget_bytes)
            )
        finally:
            self.close_session(session)
        await saving

    def close_session(self, session: EngineSession) -> None:
        """Forget `session` and free its slot."""
        self._sessions.pop(session.number, None)
        self._single_session.forget(session)
        self._close_in_worker(session)

    async def prepare(self, turn: Turn) -> None:
        """Open the turn's session in the worker if it is not open there."""
        _, session = self._turns[turn.number]
        await self._open_in_worker(session)

    def begin(self, turn: Turn) -> None:
        """Send the turn to the worker, without the oldest turns, which cannot fit the context."""
        card, history = self.card, turn.history
        recent = history.all if card is None else history.recent(card.context_tokens)
        self._worker.send(
            StartTurn(
                turn.number,
                turn.session,
                recent.messages,
                turn.settings,
                recent.omitted_turns,
                recent.omitted_size,
            )
        )

    def halt(self, turn: Turn) -> None:
        """Ask the worker to stop the turn."""
        self._worker.stop(turn.number)

    def over(self, turn: Turn) -> None:
        """Forget the turn; its late events are dropped."""
        self._turns.pop(turn.number, None)

    async def _open(self, options: SessionOptions) -> EngineSession:
        self._check_open()
        session = EngineSession(self, self._worker.number(), options)
        await self._open_in_worker(session)
        self._check_open()
        return session

    async def _open_in_worker(self, session: EngineSession) -> None:
        await self._worker.start()
        while (opening := self._open_futures.get(session.number)) is not None:
            await asyncio.wait([opening])  # if it fails, this caller retries
        if session.closed or session.number in self._known_sessions:
            return
        self._known_sessions.add(session.number)  # set when the command is sent
        done = self._open_futures[session.number] = asyncio.get_running_loop().create_future()
        try:
            options = session.options
            await self._worker.call(
                lambda call: OpenSession(
                    call, session.number, options.name, options.lora, options.kv
                )
            )
        except EngineError:
            self._known_sessions.discard(session.number)
            raise
        except BaseException:  # the caller was cancelled, but the worker has the session
            self._close_in_worker(session)
            raise
        finally:
            del self._open_futures[session.number]
            done.set_result(None)

    def _close_in_worker(self, session: EngineSession) -> None:
        if session.number in self._known_sessions:
            self._saves.flush(session.number)
            self._known_sessions.discard(session.number)
            self._worker.send(CloseSession(session.number))

    def _on_turn_event(self, number: int, event: Event) -> None:
        if number in self._turns:
            turn, _ = self._turns[number]
            turn.receive(event)

    def _on_crash(self, error: EngineCrashedError) -> None:
        self._known_sessions.clear()
        self._saves.fail(error)
        self._fail_turns(error)

    def _fail_turns(self, error: EngineError) -> None:
        for turn, _ in list(self._turns.values()):
            turn.fail(error)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise EngineClosedError

    def _check_session_limit(self) -> None:
        limit = self._max_sessions
        if limit is not None and len(self._sessions) + self._opening_count >= limit:
            raise SessionLimitError(
                f"Max concurrent sessions ({limit}) reached. "
                "Close an existing session before opening a new one."
            )
