"""A scripted native side, for tests of the order of events instead of the generated text."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from koel_tui.engine.engine import Engine
from koel_tui.engine.session import EngineSession
from koel_tui.engine.types import (
    ChatMessage,
    Delta,
    FinishReason,
    ModelCard,
    ModelSpec,
    SessionMetrics,
    ToolCallDelta,
)
from koel_tui.engine.wire_messages import (
    CloseSession,
    Command,
    Crashed,
    Done,
    Event,
    Failed,
    Load,
    Loaded,
    OpenSession,
    SaveKv,
    StartTurn,
    StopTurn,
    Text,
    Thinking,
    ToolCalled,
    TurnEnded,
)

QUESTION = [ChatMessage("user", "hello")]


class ScriptedLink:
    """Answers loads and openings automatically; the test scripts the output of turns."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.opened = 0
        self.closed = 0
        self.refuse_sessions: str | None = None
        self.hold_sessions = False
        self._held: list[int] = []  # calls of the delayed openings
        self.refuse_load: str | None = None
        self.hold_load = False
        self.card = ModelCard("scripted", 4096, 8, 0.0)
        self.deaf = False  # ignores stops
        self.turns: dict[int, int] = {}  # running turns: turn number by session
        self.pending = 0  # events not delivered yet
        self._receive: Callable[[Event], None] | None = None

    async def open(self, receive: Callable[[Event], None]) -> None:
        await asyncio.sleep(0)
        self.opened += 1
        self._receive = receive

    def send(self, command: Command) -> None:
        self.commands.append(command)
        match command:
            case Load() if self.refuse_load:
                self.emit(Failed(0, "ModelLoadError", self.refuse_load))
            case Load() if not self.hold_load:
                self.finish_load()
            case OpenSession(call=call) if self.refuse_sessions:
                self.emit(Failed(call, "EngineError", self.refuse_sessions))
            case OpenSession(call=call) if self.hold_sessions:
                self._held.append(call)
            case OpenSession(call=call):
                self.emit(Done(call))
            case SaveKv(call=call):
                self.emit(Done(call))
            case StartTurn(turn=turn, session=session):
                assert self.deaf or session not in self.turns, "two native turns on one session"
                self.turns[session] = turn
            case StopTurn(turn=turn) if turn in self.turns.values() and not self.deaf:
                self.end(turn=turn, reason="stopped")

    def kill(self, why: str) -> None:
        self.turns.clear()
        self.emit(Crashed(why))

    async def close(self) -> None:
        self.closed += 1

    def emit(self, event: Event) -> None:
        if self._receive is not None:
            self.pending += 1
            asyncio.get_running_loop().call_soon(self._deliver, self._receive, event)

    def _deliver(self, receive: Callable[[Event], None], event: Event) -> None:
        self.pending -= 1
        receive(event)

    def finish_load(self) -> None:
        self.emit(Loaded(self.card))

    def finish_sessions(self) -> None:
        """Answer the delayed openings, and delay no further ones."""
        self.hold_sessions = False
        held, self._held = self._held, []
        for call in held:
            self.emit(Done(call))

    def finish_sessions_with(self, message: str) -> None:
        """Refuse the delayed openings, and delay no further ones."""
        self.hold_sessions = False
        held, self._held = self._held, []
        for call in held:
            self.emit(Failed(call, "EngineError", message))

    def think(self, session: int, text: str) -> None:
        self.emit(Thinking(self.turns[session], text))

    def call_tool(self, session: int, call: ToolCallDelta) -> None:
        self.emit(ToolCalled(self.turns[session], call))

    def say(self, session: int, *pieces: str) -> None:
        for piece in pieces:
            self.emit(Text(self.turns[session], piece))

    def end(
        self,
        session: int = 0,
        *,
        turn: int = 0,
        reason: FinishReason = "end",
        tokens: int = 0,
        trimmed: int = 0,
    ) -> None:
        if turn:
            session = next(key for key, value in self.turns.items() if value == turn)
        number = self.turns.pop(session)
        self.emit(TurnEnded(number, reason, SessionMetrics(output_tokens=tokens), trimmed))

    def fail(self, session: int, message: str, kind: str = "EngineError") -> None:
        self.emit(Failed(self.turns.pop(session), kind, message))

    def crash(self) -> None:
        self.turns.clear()
        self._held.clear()
        self.emit(Crashed("the engine process ended"))

    def sent(self, kind: type[Command]) -> list[Command]:
        return [command for command in self.commands if isinstance(command, kind)]

    @property
    def opened_sessions(self) -> list[int]:
        return [each.session for each in self.commands if isinstance(each, OpenSession)]

    @property
    def started(self) -> list[int]:
        return [each.session for each in self.commands if isinstance(each, StartTurn)]

    @property
    def closed_sessions(self) -> list[int]:
        return [each.session for each in self.commands if isinstance(each, CloseSession)]


class StrictLink(ScriptedLink):
    """A native side that refuses invalid requests, and ignores requests while it is dead."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = False
        self.crashes = 0
        self.known: set[int] = set()
        self.refused: set[int] = set()
        self.starts: list[int] = []

    async def open(self, receive: Callable[[Event], None]) -> None:
        await super().open(receive)
        assert not self.alive, "a second worker next to the first"
        self.alive = True

    def send(self, command: Command) -> None:
        if not self.alive:
            return
        match command:
            case OpenSession(session=session):
                assert session not in self.known - self.refused, "opened twice"
                self.refused.discard(session)
                # Refused sessions too: a caller that is cancelled before the refusal closes it.
                self.known.add(session)
                if self.refuse_sessions:
                    self.refused.add(session)
            case CloseSession(session=session):
                assert session in self.known, "closed twice, or never opened"
                assert session not in self.turns, "closed in the middle of its turn"
                self.known.remove(session)
            case StartTurn(turn=turn, session=session):
                assert session in self.known - self.refused, "a turn of an unknown session"
                self.starts.append(turn)
        super().send(command)

    def crash(self) -> None:
        if self.alive:
            self.alive = False
            self.crashes += 1
            self.known.clear()
            super().crash()


async def scripted_engine(
    max_sessions: int | None = 8, parallel: int = 1
) -> tuple[Engine, ScriptedLink]:
    link = ScriptedLink()
    engine = Engine(
        link, ModelSpec(Path("none.gguf")), max_sessions=max_sessions, parallel=parallel
    )
    await engine.start()
    return engine, link


async def until(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Let the event loop run until `condition` holds; fail at the deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0)


def texts(deltas: Sequence[object]) -> list[str]:
    return [delta.text for delta in deltas if hasattr(delta, "text")]


async def collect(stream: AsyncIterator[Delta]) -> list[Delta]:
    return [delta async for delta in stream]


def ask(session: EngineSession) -> asyncio.Task[list[Delta]]:
    return asyncio.create_task(collect(session.stream(QUESTION)))
