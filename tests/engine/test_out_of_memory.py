"""A runner without enough memory: it is refused or restarted, and affects no other engine."""

import sys
from pathlib import Path
from types import NoneType

import psutil
import pytest

from koel_tui.engine import (
    ChatMessage,
    EngineCrashedError,
    EngineError,
    EngineHost,
    ModelLoadError,
    ModelSpec,
    Sampling,
)
from koel_tui.engine.native.context.free_memory import free_container_memory
from tests.engine.outcome import load_error
from tests.engine.processes import runners, until
from tests.hostile_summary import Tally

PYTHON = sys.executable


def capped(folder: Path, megabytes: int) -> str:
    """Write a Python interpreter script with an address space of `megabytes`."""
    path = folder / f"python-{megabytes}"
    kilobytes = megabytes * 1000
    path.write_text(f'#!/bin/sh\nulimit -v {kilobytes}\nexec {PYTHON} "$@"\n')
    path.chmod(0o700)
    return str(path)


async def caps_tried(
    caps: range, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> dict[int, type[EngineError | None]]:
    spec = ModelSpec(tiny_path, context_tokens=4096, slots=2, threads=1)
    ended = {}
    for cap in caps:
        monkeypatch.setattr(sys, "executable", capped(tmp_path, cap))
        ended[cap] = type(await load_error(spec, sessions=2))
        assert runners() == []
    monkeypatch.undo()
    assert await load_error(spec, sessions=2) is None, "the next one did not work"
    tally("low memory", tried=len(caps))
    return ended


async def test_a_low_memory_limit_does_not_affect_the_next_engine(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    ended = await caps_tried(range(20, 1020, 240), tiny_path, tmp_path, monkeypatch, tally)
    assert (ended[20], ended[980]) == (EngineCrashedError, NoneType)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_fifty_memory_limits_do_not_affect_the_next_engine(
    tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    ended = await caps_tried(range(20, 1020, 20), tiny_path, tmp_path, monkeypatch, tally)
    print(ended)
    assert len(ended) == 50 and ended[1000] is NoneType


@pytest.mark.parametrize(
    ("tokens", "numbers"),
    [
        (4_000_000, r"needs [\d,]+ MB and [\d,]+ MB are free"),  # detected before an allocation
        (2_000_000, r"attempted to allocate [\d.]+ MB"),  # the additional buffers are too large
    ],
)
async def test_a_context_that_does_not_fit_is_refused_with_its_size(
    tiny_path: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tokens: int,
    numbers: str,
    tally: Tally,
) -> None:
    monkeypatch.setattr(sys, "executable", capped(tmp_path, 1200))
    with pytest.raises(ModelLoadError, match=numbers + ".*Use a smaller context"):
        await EngineHost.load(ModelSpec(tiny_path, context_tokens=tokens, slots=1, threads=1))
    await until(lambda: not runners())
    tally("low memory", tried=1)


async def test_a_memory_limit_set_later_does_not_end_the_sessions(
    tiny_path: Path, tally: Tally, tmp_path: Path
) -> None:
    host = await EngineHost.load(ModelSpec(tiny_path, context_tokens=4096, slots=2, threads=1))
    sessions = [
        await host.open_session(max_output_tokens=4, sampling=Sampling(temperature=0))
        for _ in range(4)
    ]
    said = []
    for session in sessions:
        session.add(ChatMessage("user", "abc " * 200))
        said.append(await session.respond())
    (runner,) = runners()
    held = runner.memory_info().vms
    runner.rlimit(psutil.RLIMIT_AS, (held, psutil.RLIM_INFINITY))
    tried = 0
    for session in (*sessions, *sessions):
        session.add(ChatMessage("user", "abc " * 200))
        try:
            assert await session.respond()
        except EngineError as error:
            assert str(error)
        tried += 1
        with_limit = runners()
        assert len(with_limit) <= 1
    for each in runners():
        each.rlimit(psutil.RLIMIT_AS, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
    for session, before in zip(sessions, said, strict=True):
        assert before in [each.content for each in session.history]
        session.add(ChatMessage("user", "abc"))
        assert await session.respond()
    await host.close()
    tally("low memory", tried=tried)


@pytest.mark.parametrize(
    ("most", "free"), [("max", None), ("1000", 1000 - 700 + 300), ("", None), ("600", 200)]
)
def test_the_memory_limit_of_a_container_is_read(
    tmp_path: Path, most: str, free: int | None, tally: Tally
) -> None:
    (tmp_path / "memory.max").write_text(f"{most}\n")
    (tmp_path / "memory.current").write_text("700\n")
    (tmp_path / "memory.stat").write_text("anon 400\nactive_file 100\ninactive_file 200\n")
    assert free_container_memory(tmp_path) == free
    assert free_container_memory(tmp_path / "none") is None
    tally("low memory", tried=1)
