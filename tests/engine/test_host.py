"""The engine in the runner process: it gives the same answers, and survives dead processes."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

from koel_tui import paths
from koel_tui.engine import (
    ChatMessage,
    EngineCrashedError,
    EngineHost,
    ModelLoadError,
    ModelSpec,
    Sampling,
    TextDelta,
)
from tests.engine.processes import runners, until

STORY = [ChatMessage("user", "Write a very long story about the sea.")]


@pytest_asyncio.fixture
async def host(starter_path: Path) -> AsyncIterator[EngineHost]:
    engine = await EngineHost.load(
        ModelSpec(starter_path, context_tokens=512, threads=1), max_sessions=4
    )
    yield engine
    await engine.close()
    assert runners() == []


async def test_host_answers_in_another_process_and_reports_loading(starter_path: Path) -> None:
    received: list[float] = []
    host = await EngineHost.load(
        ModelSpec(starter_path, context_tokens=512, threads=1), on_progress=received.append
    )
    try:
        assert len(runners()) == 1
        session = await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=12)
        session.add(ChatMessage("user", "Say hello."))
        pieces = [each.text async for each in session.stream() if isinstance(each, TextDelta)]
        assert len(pieces) > 3
        assert session.metrics.output_tokens >= len(pieces)
        assert await host.count_tokens("hello world") == 2
        assert received == sorted(received) and received[-1] == pytest.approx(1, abs=0.05)
    finally:
        await host.close()
    assert runners() == []


async def test_engine_case_20_kill_9_fails_the_callers_and_the_next_call_works(
    host: EngineHost,
) -> None:
    running, waiting = [
        await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=200)
        for _ in range(2)
    ]
    seen: list[str] = []

    async def read() -> None:
        async for delta in running.stream(STORY):
            if isinstance(delta, TextDelta):
                seen.append(delta.text)

    reading = asyncio.create_task(read())
    queued = asyncio.create_task(waiting.respond())
    await until(lambda: len(seen) > 3)
    first = runners()
    first[0].send_signal(signal.SIGKILL)
    results = await asyncio.gather(reading, queued, return_exceptions=True)
    for result in results:
        assert isinstance(result, EngineCrashedError)
        assert "SIGKILL" in str(result)
    assert running.history[-1] == ChatMessage("assistant", "".join(seen)), "streamed text is lost"
    running.add(ChatMessage("user", "Go on."))
    async for delta in running.stream():
        if isinstance(delta, TextDelta):
            break
    assert runners() and runners() != first


async def test_host_keeps_the_reason_of_a_failed_load(tmp_path: Path) -> None:
    model = tmp_path / "not-a-model.gguf"
    model.write_bytes(b"this is no model")
    with pytest.raises(ModelLoadError, match=r"not-a-model\.gguf.*magic"):
        await EngineHost.load(ModelSpec(model))


async def test_host_failed_loads_leave_no_process(tmp_path: Path) -> None:
    with pytest.raises(ModelLoadError, match="no such file"):
        await EngineHost.load(ModelSpec(tmp_path / "absent.gguf"))
    await until(lambda: not runners())


async def test_host_llama_cpp_logs_to_the_log_file_only(
    host: EngineHost, capfd: pytest.CaptureFixture[str]
) -> None:
    await host.open_session()
    log = paths.log_file()
    assert "llama_model_loader" in log.read_text()
    assert log.stat().st_mode & 0o077 == 0
    assert capfd.readouterr() == ("", "")


PARENT = """
import asyncio, sys
from pathlib import Path
from koel_tui.engine import ChatMessage, EngineHost, ModelSpec

async def main():
    host = await EngineHost.load(ModelSpec(Path(sys.argv[1]), context_tokens=512, threads=1))
    session = await host.open_session()
    print("llama_cpp" in sys.modules, flush=True)
    async for delta in session.stream([ChatMessage("user", "Write a long story.")]):
        print(host._worker._transport.pid, flush=True)

asyncio.run(main())
"""


def test_host_the_runner_ends_when_its_parent_dies(starter_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(starter_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "False\n", "the parent has loaded llama.cpp"
    runner = psutil.Process(int(parent.stdout.readline()))
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    gone, alive = psutil.wait_procs([runner], timeout=5)
    for process in alive:
        os.kill(process.pid, signal.SIGKILL)
    assert gone, "an orphan runner stays"
