"""Damaged models: they are refused with a reason, and a crash ends only the probe process."""

import asyncio
import resource
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType

import psutil
import pytest

from koel_tui.engine import EngineCrashedError, EngineError, ModelLoadError, ModelSpec
from koel_tui.models.probe import ProbeResult, probe_model
from koel_tui.models.verified_models import VerifiedModels
from tests.engine.outcome import STOP_TIMEOUT_S, load_error
from tests.engine.processes import runners, trials
from tests.hostile_summary import Tally
from tests.models.damaged import FIELDS, damaged_headers, flipper, patched

MOST_BYTES = 300e6
HEADERS = damaged_headers()
HARMLESS = ("context_length", "sliding_window", "bos_token_id", "eos_token_id")
"""Fields in which llama.cpp accepts any number."""


@pytest.fixture
def verified(tmp_path: Path) -> VerifiedModels:
    return VerifiedModels(tmp_path / "state" / "models.json", "1.0")


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Check that memory use grew little, and that no process or core file is left."""
    monkeypatch.chdir(tmp_path)
    before = psutil.Process().memory_info().rss
    yield
    assert psutil.Process().memory_info().rss - before < MOST_BYTES
    assert (trials(), runners()) == ([], [])
    assert list(tmp_path.glob("core*")) == []


async def verdict_on(path: Path, verified: VerifiedModels) -> ProbeResult:
    async with asyncio.timeout(STOP_TIMEOUT_S):
        verdict = await probe_model(path, verified)
    assert verdict.ok != bool(verdict.reason)
    assert verdict.reason.isprintable()
    return verdict


async def loaded(path: Path) -> type[EngineError | None]:
    """Load a model and generate text; return the class of the error, NoneType without one."""
    error = await load_error(ModelSpec(path, slots=1, threads=1))
    assert not isinstance(error, ModelLoadError) or path.name in str(error)
    return type(error)


def some(names: list[str], every: int) -> list[str]:
    return names[::every]


async def test_the_check_refuses_damaged_headers(
    tmp_path: Path, verified: VerifiedModels, tally: Tally
) -> None:
    assert len(HEADERS) >= 39
    for name, data in HEADERS.items():
        path = tmp_path / "m.gguf"
        path.write_bytes(data)
        verdict = await verdict_on(path, verified)
        assert not verdict.ok and "crashed" not in verdict.reason, (name, verdict)
    tally("damaged model", tried=len(HEADERS))


async def heads_loaded(names: list[str], tmp_path: Path, tally: Tally) -> None:
    for name in names:
        path = tmp_path / "m.gguf"
        path.write_bytes(HEADERS[name])
        assert await loaded(path) is ModelLoadError, name
    tally("damaged model", tried=len(names))


async def test_the_engine_refuses_damaged_headers(tmp_path: Path, tally: Tally) -> None:
    await heads_loaded(some(list(HEADERS), 17), tmp_path, tally)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_engine_refuses_all_damaged_headers(tmp_path: Path, tally: Tally) -> None:
    await heads_loaded(list(HEADERS), tmp_path, tally)


async def fields_tried(
    names: list[str], tiny_path: Path, tmp_path: Path, verified: VerifiedModels, tally: Tally
) -> None:
    for name in names:
        path = patched(tiny_path, tmp_path / "m.gguf", *FIELDS[name])
        verdict, ended = await verdict_on(path, verified), await loaded(path)
        harmless = FIELDS[name][0].endswith(HARMLESS)
        assert (verdict.ok, ended is NoneType) == (harmless, harmless), (name, verdict, ended)
        if "block_count" in name:
            assert "llama.cpp crashed (SIGABRT)" in verdict.reason
            assert "GGML_ASSERT" in verdict.reason and ended is EngineCrashedError
    tally("damaged model", tried=2 * len(names))


async def test_the_check_and_the_engine_refuse_changed_fields(
    tiny_path: Path, tmp_path: Path, verified: VerifiedModels, tally: Tally
) -> None:
    assert len(FIELDS) == 14
    await fields_tried(some(list(FIELDS), 5), tiny_path, tmp_path, verified, tally)


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_the_check_and_the_engine_refuse_all_changed_fields(
    tiny_path: Path, tmp_path: Path, verified: VerifiedModels, tally: Tally
) -> None:
    await fields_tried(list(FIELDS), tiny_path, tmp_path, verified, tally)


async def flips_tried(
    seeds: range, tiny_path: Path, tmp_path: Path, verified: VerifiedModels, tally: Tally
) -> Counter[str]:
    flip: Callable[[Path, int], Path] = flipper(tiny_path)
    came: Counter[str] = Counter()
    for seed in seeds:
        path = flip(tmp_path / "m.gguf", seed)
        verdict = await verdict_on(path, verified)
        came["ok" if verdict.ok else "crash" if "crashed" in verdict.reason else "bad"] += 1
        if seed % 10 == 0 and not verdict.ok:
            assert await loaded(path) in (ModelLoadError, EngineCrashedError, EngineError)
    tally("damaged model", tried=len(seeds))
    return came


async def test_a_check_of_flipped_bytes_ends_with_a_verdict(
    tiny_path: Path, tmp_path: Path, verified: VerifiedModels, tally: Tally
) -> None:
    await flips_tried(range(4), tiny_path, tmp_path, verified, tally)


@pytest.mark.slow
@pytest.mark.timeout(1800)
async def test_a_check_of_five_hundred_flipped_bytes_ends_with_a_verdict(
    tiny_path: Path, tmp_path: Path, verified: VerifiedModels, tally: Tally
) -> None:
    came = await flips_tried(range(500), tiny_path, tmp_path, verified, tally)
    print(dict(came))
    assert came["ok"] and came["bad"]


async def test_the_process_of_a_check_has_resource_limits(
    tiny_path: Path, verified: VerifiedModels, tally: Tally
) -> None:
    probing = asyncio.create_task(probe_model(tiny_path, verified))
    async with asyncio.timeout(20):
        while not (found := trials()) or found[0].rlimit(psutil.RLIMIT_CORE) != (0, 0):
            await asyncio.sleep(0.005)
        _, most = found[0].rlimit(psutil.RLIMIT_AS)
        assert 0 < most < 5 * 1024**3 and found[0].rlimit(psutil.RLIMIT_FSIZE)[1] < 2**21
        assert found[0].rlimit(psutil.RLIMIT_CPU)[1] != resource.RLIM_INFINITY
        assert (await probing).ok
    tally("damaged model", tried=1)
