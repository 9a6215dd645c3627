"""A runner that is killed, aborted or stuck in any phase: caller errors and leftover files."""

import asyncio
import os
import resource
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
    EngineSession,
    ModelSpec,
    RestartLimitError,
    Sampling,
)
from koel_tui.engine.runner import worker_client
from tests.engine.processes import runners, until
from tests.engine.runner.test_runner_process import reached
from tests.hostile_summary import Tally
from tests.models.damaged import patched

QUESTION = ChatMessage("user", "abc")


@pytest_asyncio.fixture
async def host(tiny_path: Path) -> AsyncIterator[EngineHost]:
    engine = await EngineHost.load(ModelSpec(tiny_path, context_tokens=4096, slots=2, threads=1))
    yield engine
    await engine.close()
    assert runners() == []


async def opened(host: EngineHost, most: int = 8) -> EngineSession:
    session = await host.open_session(sampling=Sampling(temperature=0), max_output_tokens=most)
    session.add(QUESTION)
    return session


async def test_a_runner_killed_while_it_loads_fails_the_load_only(
    tiny_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    loading = asyncio.create_task(EngineHost.load(ModelSpec(tiny_path, threads=1)))
    await until(runners)
    runners()[0].kill()
    with pytest.raises(EngineCrashedError, match=r"SIGKILL.*Send again"):
        await loading
    assert runners() == []
    host = await EngineHost.load(ModelSpec(tiny_path, threads=1))
    assert await (await opened(host)).respond()
    await host.close()
    tally("engine crash", tried=1)


async def test_a_runner_killed_while_it_saves_leaves_the_old_snapshot(
    host: EngineHost, tmp_path: Path, tally: Tally
) -> None:
    session = await opened(host)
    before = await session.respond()
    path = tmp_path / "thread.kv"
    await session.save_kv(path)
    whole = path.read_bytes()
    (runner,) = runners()
    runner.suspend()
    saving = asyncio.create_task(session.save_kv(path))
    await asyncio.sleep(0)
    runner.kill()
    with pytest.raises(EngineCrashedError, match="SIGKILL"):
        await saving
    assert path.read_bytes() == whole
    assert session.history[-1].content == before
    session.add(QUESTION)
    assert await session.respond()
    tally("engine crash", tried=1)


async def test_closing_ends_when_the_runner_is_killed(tiny_path: Path, tally: Tally) -> None:
    host = await EngineHost.load(ModelSpec(tiny_path, threads=1))
    running = await reached(await opened(host, 4000), "writing")
    (runner,) = runners()
    runner.suspend()
    closing = asyncio.create_task(host.close())
    await asyncio.sleep(0)
    runner.kill()
    async with asyncio.timeout(5):
        await closing
        await asyncio.gather(running, return_exceptions=True)
    assert runners() == []
    tally("engine crash", tried=1)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGRTMIN + 3])
async def test_any_fatal_signal_fails_the_turn_and_the_runner_is_restarted(
    host: EngineHost, number: int, tally: Tally
) -> None:
    running = await reached(await opened(host, 4000), "writing")
    runners()[0].send_signal(number)
    with pytest.raises(EngineCrashedError, match=f"signal .*({number - 1}|{number}|SIG)"):
        async with asyncio.timeout(5):
            await running
    assert await (await opened(host)).respond()
    tally("engine crash", tried=1)


async def test_a_fourth_crash_within_a_minute_reaches_the_restart_limit(
    host: EngineHost, tally: Tally
) -> None:
    session = await opened(host)
    for _ in range(3):
        await until(runners)
        runners()[0].kill()
        await until(lambda: host.card is None)
        assert await session.respond()
    runners()[0].kill()
    await until(lambda: host.card is None)
    for _ in range(2):
        with pytest.raises(RestartLimitError, match=r"3 times within 60 .*SIGKILL.*in \d+ s\.$"):
            await session.respond()
    assert runners() == []
    tally("engine crash", tried=4)


@pytest.mark.parametrize("layers", [0, 513])
async def test_the_error_of_a_failed_load_quotes_the_assertion(
    tiny_path: Path, tmp_path: Path, layers: int, tally: Tally
) -> None:
    bad = patched(tiny_path, tmp_path / "bad.gguf", "gemma3.block_count", layers)
    with pytest.raises(EngineCrashedError, match=r"SIGABRT \(.*GGML_ASSERT\(.*\) failed\)"):
        await EngineHost.load(ModelSpec(bad, threads=1))
    # The assertion is also found if the log was renamed during the load.
    loading = asyncio.create_task(EngineHost.load(ModelSpec(bad, threads=1)))
    await until(runners)
    paths.log_file().rename(tmp_path / "old.log")
    with pytest.raises(EngineCrashedError, match=r"SIGABRT \(.*GGML_ASSERT\(.*\) failed\)"):
        await loading
    # The next runner dies of another cause, so its error must not quote the assertion.
    loading = asyncio.create_task(EngineHost.load(ModelSpec(tiny_path, threads=1)))
    await until(runners)
    runners()[0].send_signal(signal.SIGABRT)
    with pytest.raises(EngineCrashedError) as caught:
        await loading
    assert "ASSERT" not in str(caught.value)
    tally("engine crash", tried=3)


async def test_an_assertion_during_the_prefill_fails_the_turn(
    tiny_path: Path, tmp_path: Path, tally: Tally
) -> None:
    name = "gemma3.attention.layer_norm_rms_epsilon"
    bad = patched(tiny_path, tmp_path / "bad.gguf", name, float("nan"))
    host = await EngineHost.load(ModelSpec(bad, context_tokens=512, threads=1))
    with pytest.raises(EngineCrashedError, match=r"SIGABRT \(.*GGML_ASSERT\(") as caught:
        await (await opened(host)).respond()
    assert caught.value.begun
    await host.close()
    assert runners() == []
    tally("engine crash", tried=1)


async def test_a_crash_writes_no_core_dump(tiny_path: Path, tally: Tally) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard == 0:
        pytest.skip("no process writes its memory here")
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    try:
        host = await EngineHost.load(ModelSpec(tiny_path, threads=1))
        (runner,) = runners()
        assert runner.rlimit(psutil.RLIMIT_CORE) == (0, 0)
        await host.close()
    finally:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, hard))
    tally("engine crash", tried=1)


def test_an_assertion_starts_no_debugger(tally: Tally) -> None:
    script = "import os; from koel_tui.engine.runner import process; process.disable_crash_dumps();"
    script += "import ctypes; libc = ctypes.CDLL(None); libc.getenv.restype = ctypes.c_char_p;"
    script += "print(libc.getenv(b'GGML_NO_BACKTRACE').decode())"
    environment = {key: each for key, each in os.environ.items() if key != "GGML_NO_BACKTRACE"}
    said = subprocess.check_output([sys.executable, "-c", script], env=environment, text=True)
    assert said == "1\n"
    tally("engine crash", tried=1)


async def test_a_runner_that_ignores_a_stop_is_killed(
    host: EngineHost, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    monkeypatch.setattr(worker_client, "STOP_TIMEOUT_S", 0.2)
    stuck, next_in_line = await opened(host, 4000), await opened(host)
    running = await reached(stuck, "writing")
    (runner,) = runners()
    runner.suspend()
    running.cancel()
    with pytest.raises(EngineCrashedError, match=r"did not stop generating within .* was killed"):
        async with asyncio.timeout(10):
            await next_in_line.respond()
    assert await next_in_line.respond()
    (fresh,) = runners()
    began = asyncio.get_running_loop().time()
    await until(lambda: asyncio.get_running_loop().time() - began > 0.4)
    assert runners() == [fresh] != [runner], "the patience with the dead one ended the fresh one"
    tally("engine failure", tried=1)


async def test_a_turn_that_stops_cancels_the_stop_timeout(host: EngineHost, tally: Tally) -> None:
    session = await opened(host, 4000)
    running = await reached(session, "writing")
    session.stop()
    assert len(host._worker._stopping) == 1
    await running
    assert host._worker._stopping == {}
    tally("engine failure", tried=1)
