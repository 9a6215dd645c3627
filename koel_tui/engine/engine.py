"""The engine: one set of weights, many sessions, one line for the right to generate."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Self

from koel_tui.engine.errors import (
    EngineClosedError,
    EngineCrashedError,
    EngineError,
    SessionLimitError,
    UnsupportedError,
)
from koel_tui.engine.frames import (
    CloseSession,
    Counted,
    CountTokens,
    Event,
    Load,
    OpenSession,
    StartTurn,
    StopTurn,
)
from koel_tui.engine.link import Link
from koel_tui.engine.mutex import GenerationMutex
from koel_tui.engine.native_side import NativeSide
from koel_tui.engine.session import EngineSession
from koel_tui.engine.turn import Turn
from koel_tui.engine.values import ChatMessage, ModelCard, ModelSpec, Sampling, SessionOptions

ProgressCallback = Callable[[float], None]


class Engine:
    """Weights shared by sessions, in this process. Make one with `await Engine.load(spec)`.

    Use it from one event loop. Native calls happen on a thread of their own.
    """

    def __init__(
        self,
        link: Link,
        spec: ModelSpec,
        *,
        max_sessions: int | None = 8,
        parallel: int = 1,
        on_progress: ProgressCallback | None = None,
    ) -> None:
        if max_sessions is not None and max_sessions < 0:
            raise ValueError(f"max_sessions must be at least 0 or None, not {max_sessions}")
        self._max_sessions = max_sessions
        self._mutex = GenerationMutex(parallel)
        self._native = NativeSide(
            link,
            Load(spec, max_sessions, parallel),
            on_turn=self._turn_event,
            on_crash=self._crashed,
            on_progress=on_progress,
        )
        self._sessions: dict[int, EngineSession] = {}
        self._opening = 0
        self._introduced: set[int] = set()  # numbers of the sessions this native side knows
        self._turns: dict[int, Turn] = {}
        self._closing: asyncio.Task[None] | None = None

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

        `max_sessions` caps open sessions (None: no cap), `parallel` is how many turns may
        generate at once, `on_progress` hears 0..1 while loading. Raises `ModelLoadError`.
        """
        engine = cls(
            cls._make_link(),
            spec,
            max_sessions=max_sessions,
            parallel=parallel,
            on_progress=on_progress,
        )
        try:
            await engine.start()
        except BaseException:  # a cancelled load must leave no process either
            await engine.close()
            raise
        return engine

    @classmethod
    def _make_link(cls) -> Link:
        # Here and not above: importing the native side loads llama.cpp into this process.
        from koel_tui.engine.threadlink import ThreadLink

        return ThreadLink()

    async def start(self) -> ModelCard:
        """Load the model unless it is loaded, and return what it says of itself.

        Raises `ModelLoadError`, `EngineCrashedError` or `EngineClosedError`.
        """
        self._check_open()
        return await self._native.start()

    @property
    def card(self) -> ModelCard | None:
        """What the loaded model says of itself; None between a crash and the next call."""
        return self._native.card

    @property
    def sessions(self) -> tuple[EngineSession, ...]:
        """The open sessions, oldest first."""
        return tuple(self._sessions.values())

    async def open_session(
        self,
        name: str = "",
        system: str | None = None,
        sampling: Sampling | None = None,
        lora: str | None = None,
        thinking: bool = False,
        vision: bool | None = None,
        audio: bool | None = None,
        tools: Sequence[object] = (),
        max_output_tokens: int | None = None,
    ) -> EngineSession:
        """Return a new independent session on the shared weights.

        Raises `SessionLimitError` at the cap, before any native call; `UnsupportedError` for
        what this engine or model lacks; `EngineClosedError`; `EngineCrashedError`.
        """
        self._check_open()
        self._check_cap()
        asked = {
            "lora": lora,
            "thinking": thinking,
            "vision": vision,
            "audio": audio,
            "tools": tools,
        }
        for feature, wanted in asked.items():
            if wanted:
                raise UnsupportedError(
                    f"This engine does not support {feature}. Open the session without it."
                )
        options = SessionOptions(name, system, sampling or Sampling(), max_output_tokens)
        session = EngineSession(self, self._native.number(), options)
        self._opening += 1  # reserved before the first await: concurrent opens can't pass the cap
        try:
            await self._introduce(session)
            self._check_open()
        finally:
            self._opening -= 1
        self._sessions[session.number] = session
        return session

    async def count_tokens(self, text: str) -> int:
        """Return how many tokens the model's tokenizer makes of `text`."""
        self._check_open()
        answer = await self._native.call(lambda call: CountTokens(call, text))
        assert isinstance(answer, Counted)  # noqa: S101 - the native side answers a call in kind
        return answer.tokens

    async def close(self) -> None:
        """Close every session, fail what runs and waits, free the model. Idempotent."""
        if self._closing is None:
            self._closing = asyncio.create_task(self._close(), name="engine close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        self._fail_turns(EngineClosedError())
        for session in self.sessions:
            session.shut()
        await self._native.close()

    # What sessions and turns ask of their engine

    def start_turn(self, session: EngineSession, messages: tuple[ChatMessage, ...]) -> Turn:
        """Put a turn of `session` in line."""
        self._check_open()
        turn = Turn(self._native.number(), session, messages, self)
        self._turns[turn.number] = turn
        turn.enter(self._mutex)
        return turn

    def close_session(self, session: EngineSession) -> None:
        """Forget `session` and free its slot."""
        self._sessions.pop(session.number, None)
        if session.number in self._introduced:
            self._introduced.discard(session.number)
            self._native.send(CloseSession(session.number))

    async def prepare(self, turn: Turn) -> None:
        """Make the turn's session known to a native side that may be fresh."""
        await self._introduce(turn.session)

    def begin(self, turn: Turn) -> None:
        """Start the native work of the turn."""
        self._native.send(StartTurn(turn.number, turn.session.number, turn.messages))

    def halt(self, turn: Turn) -> None:
        """Ask the native work of the turn to end."""
        self._native.send(StopTurn(turn.number))

    def over(self, turn: Turn) -> None:
        """Forget the turn; its late events go nowhere."""
        self._turns.pop(turn.number, None)

    async def _introduce(self, session: EngineSession) -> None:
        if session.number not in self._introduced:
            await self._native.call(lambda call: OpenSession(call, session.number, session.options))
            self._introduced.add(session.number)

    def _turn_event(self, number: int, event: Event) -> None:
        turn = self._turns.get(number)
        if turn is not None:
            turn.receive(event)

    def _crashed(self, error: EngineCrashedError) -> None:
        self._introduced.clear()
        self._fail_turns(error)

    def _fail_turns(self, error: EngineError) -> None:
        for turn in list(self._turns.values()):
            turn.fail(error)

    def _check_open(self) -> None:
        if self._closing is not None:
            raise EngineClosedError

    def _check_cap(self) -> None:
        cap = self._max_sessions
        if cap is not None and len(self._sessions) + self._opening >= cap:
            raise SessionLimitError(
                f"Max concurrent sessions ({cap}) reached. "
                "Close an existing session before opening a new one."
            )
