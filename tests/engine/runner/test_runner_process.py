"""The runner process under faults: killed, dead at each start, not read, overloaded."""

import asyncio
import select
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from koel_tui.engine import (
    ChatMessage,
    EngineCrashedError,
    EngineHost,
    EngineSession,
    ModelLoadError,
    ModelSpec,
    Progress,
    Sampling,
    TextDelta,
)
from koel_tui.engine.restart_limiter import MAX_RESTARTS
from koel_tui.engine.wire_messages import (
    HEADER,
    Command,
    CountTokens,
    Done,
    Event,
    Failed,
    Load,
    Loaded,
    OpenSession,
    Shutdown,
    StartTurn,
    StopTurn,
    Text,
    TurnEnded,
    command_codec,
    event_codec,
)
from tests.engine.processes import runners, until
from tests.engine.tiny_models import write_recurrent_model

ROOT = Path(__file__).parents[3]
STORY = ChatMessage("user", "Write a very long story about the sea.")
MILA = (ChatMessage("user", "I have a cat called Mila."), ChatMessage("assistant", "How nice!"))


@pytest_asyncio.fixture
async def host(starter_path: Path) -> AsyncIterator[EngineHost]:
    spec = ModelSpec(starter_path, context_tokens=1024, slots=2, threads=1)
    engine = await EngineHost.load(spec, max_sessions=None)
    yield engine
    await engine.close()
    assert runners() == []


async def opened(host: EngineHost) -> EngineSession:
    session = await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=12)
    for message in MILA:
        session.add(message)
    return session


async def reached(session: EngineSession, phase: str) -> asyncio.Task[None]:
    """Start a turn and wait until it is in the phase; return the task that reads the rest."""
    there = asyncio.Event()
    story = ChatMessage("user", "word " * 600) if phase == "reading" else STORY

    async def read() -> None:
        async for delta in session.stream([*MILA, story], progress=True):
            reading = isinstance(delta, Progress) and delta.phase == "reading"
            if reading if phase == "reading" else isinstance(delta, TextDelta):
                there.set()

    task = asyncio.create_task(read())
    async with asyncio.timeout(20):
        await there.wait()
    return task


@pytest.mark.parametrize("phase", ["idle", "reading", "writing"])
async def test_engine_case_20_kill_9_fails_every_pending_caller(
    host: EngineHost, tmp_path: Path, phase: str
) -> None:
    running, queued, bystander = [await opened(host) for _ in range(3)]
    callers: list[asyncio.Task[Any]] = []
    if phase != "idle":
        callers = [await reached(running, phase), asyncio.create_task(queued.respond())]
    (first,) = runners()
    first.send_signal(signal.SIGSTOP)  # so that no pending call is answered before the kill
    pending: list[Coroutine[Any, Any, Any]] = [
        host.count_tokens("one two"),
        host.open_session(),
        bystander.save_kv(tmp_path / "thread.kv"),
    ]
    callers += [asyncio.create_task(each) for each in pending]
    await asyncio.sleep(0)
    first.send_signal(signal.SIGKILL)
    async with asyncio.timeout(20):
        results = await asyncio.gather(*callers, return_exceptions=True)
    for result in results:
        assert isinstance(result, EngineCrashedError) and "SIGKILL" in str(result)
    assert host.sessions == (running, queued, bystander)

    bystander.add(ChatMessage("user", "What is my cat called?"))
    assert "Mila" in await bystander.respond()
    assert runners() != [first]


async def test_engine_case_20_a_runner_that_dies_at_every_start_is_left_alone(
    host: EngineHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await opened(host)
    starts = tmp_path / "starts"
    stillborn = tmp_path / "stillborn"
    stillborn.write_text(f"#!/bin/sh\necho >> {starts}\nexit 3\n")
    stillborn.chmod(0o700)
    runners()[0].kill()
    await until(lambda: host.card is None)
    monkeypatch.setattr(sys, "executable", str(stillborn))
    for _ in range(MAX_RESTARTS):
        with pytest.raises(EngineCrashedError, match="ended with code 3"):
            await session.respond()
    for _ in range(2):
        with pytest.raises(EngineCrashedError, match=r"restarted 3 times .*code 3.*try again in"):
            await session.respond()
    assert len(starts.read_text().splitlines()) == MAX_RESTARTS


async def test_engine_case_13_equal_loads_share_one_runner(starter_path: Path) -> None:
    spec = ModelSpec(starter_path, context_tokens=256, threads=1)
    received: list[float] = []
    first, second = await asyncio.gather(
        EngineHost.load(spec), EngineHost.load(spec, on_progress=received.append)
    )
    assert first is second
    assert len(runners()) == 1
    assert received
    await first.close()
    assert runners() == []


async def test_engine_a_window_beyond_all_memory_is_an_error_and_no_crash(
    starter_path: Path,
) -> None:
    with pytest.raises(ModelLoadError, match=r"needs [\d,]+ MB and [\d,]+ MB are free.*smaller"):
        await EngineHost.load(ModelSpec(starter_path, context_tokens=10**9))
    await until(lambda: not runners())


class RawRunner:
    """A runner and the parent's end of its socket, which only the test reads."""

    def __init__(self, log: Path) -> None:
        self._ours, theirs = socket.socketpair()
        for end in (self._ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self._ours.settimeout(30)
        with theirs:
            command = [sys.executable, "-m", "koel_tui.engine.runner.process"]
            self.process = psutil.Popen(
                [*command, str(theirs.fileno()), str(log)], pass_fds=(theirs.fileno(),), cwd=ROOT
            )
        self._stream = self._ours.makefile("rb")

    def send(self, command: Command) -> None:
        self._ours.sendall(command_codec().encode(command))

    def events(self) -> Iterator[Event]:
        while True:
            (length,) = HEADER.unpack(self._stream.read(HEADER.size))
            yield event_codec().decode(self._stream.read(length))

    def fileno(self) -> int:
        return self._ours.fileno()

    def send_bytes(self, data: bytes) -> None:
        self._ours.sendall(data)

    def wait_for(self, kind: type[Event]) -> Event:
        return next(event for event in self.events() if isinstance(event, kind))

    def end(self) -> int:
        """Close the parent's end, even with unread events; return the exit status of the runner."""
        self._stream.close()
        self._ours.close()
        return int(self.process.wait(10))


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[RawRunner]:
    made = RawRunner(tmp_path / "runner.log")
    yield made
    made.end()


async def at_rest(process: psutil.Process, seconds: float = 20.0) -> None:
    """Wait until the process no longer uses CPU time."""
    async with asyncio.timeout(seconds):
        before = None
        while (now := process.cpu_times()[:2]) != before:
            before = now
            await asyncio.sleep(0.2)


async def test_runner_a_parent_that_does_not_read_slows_the_model_and_can_stop_it(
    runner: RawRunner, tmp_path: Path
) -> None:
    context_tokens = 50_000
    spec = ModelSpec(
        write_recurrent_model(tmp_path / "quick.gguf"),
        context_tokens=context_tokens,
        slots=2,
        threads=1,
    )
    runner.send(Load(spec, max_sessions=2, parallel=1))
    runner.wait_for(Loaded)
    runner.send(OpenSession(1, 1))
    runner.wait_for(Done)
    before = runner.process.memory_info().rss
    runner.send(StartTurn(2, 1, (STORY,)))
    await at_rest(runner.process)
    assert runner.process.memory_info().rss - before < 20e6
    runner.send(StopTurn(2))
    said, ended = 0, None
    for event in runner.events():
        said += isinstance(event, Text)
        if isinstance(event, TurnEnded):
            ended = event
            break
    assert ended is not None and ended.reason == "stopped"
    assert 0 < said < context_tokens / 10, "the model went on for nobody"
    runner.send(Shutdown())
    assert runner.process.wait(10) == 0


async def test_runner_ends_when_its_parent_ends_with_unread_events(runner: RawRunner) -> None:
    runner.send(Load(ModelSpec(Path("no.gguf")), max_sessions=2, parallel=1))
    runner.wait_for(Failed)
    runner.send(CountTokens(1, "hello"))
    # The answer stays unread, so closing the socket resets it and the runner's read fails.
    assert select.select([runner.fileno()], [], [], 30)[0]
    assert runner.end() == 0


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"", 0), (b"\0\0", 0), (HEADER.pack(10) + b'{"kind', 0),
     (HEADER.pack(2) + b"{}", 0), (HEADER.pack(2) + b"\xff\xff", 0), (b"\xff" * 4, 1)],
)  # fmt: skip
def test_runner_ends_after_any_last_message_of_its_parent(
    runner: RawRunner, sent: bytes, code: int
) -> None:
    runner.send_bytes(sent)
    assert runner.end() == code


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b'{"kind": "start_turn", "turn": 7, "session": 1, "messages": 5}', 7),
        (b'{"kind": "start_turn", "turn": 7}', 7),
        (b'{"kind": "no such command", "call": 8}', 8),
        (b'{"kind": "open_session", "call": 3, "session": 1, "name": 5}', 3),
        (b'{"kind": "load", "spec": {"path": "x", "threads": -1}}', 0),
        (b'{"kind": "start_turn", "turn": "7"}', None),
        (b'{"kind": "shutdown", "call": true, "more": [}', None),
        (b"{}", None),
        (b"[1]", None),
        (b"5", None),
        (b"", None),
        (b"\xff\xff", None),
        (b"[" * 200_000, None),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_b4_an_invalid_command_is_answered_or_ignored(
    runner: RawRunner, body: bytes, number: int | None
) -> None:
    runner.send_bytes(HEADER.pack(len(body)) + body)
    runner.send(CountTokens(99, "hello"))
    if number is not None:
        answer = next(runner.events())
        assert isinstance(answer, Failed) and answer.call == number
        assert answer.error == "UnsupportedError" and "Use values of" in answer.message
    answer = next(runner.events())
    assert isinstance(answer, Failed) and (answer.call, answer.error) == (99, "EngineError")
    assert "No model is loaded" in answer.message


@pytest.mark.parametrize(("what", "most"), [("sessions", 5e6), ("loads", 20e6)])
def test_engine_memory_stays_flat(starter_path: Path, what: str, most: float) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.engine.flat_memory", what, str(starter_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert int(done.stdout) < most
