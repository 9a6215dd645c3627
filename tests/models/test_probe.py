"""The model probe: valid models are remembered, and bad ones do not affect the program."""

import asyncio
import json
import os
import shutil
import signal
import threading
from pathlib import Path

import pytest

from koel_tui.models import probe
from koel_tui.models.probe import ProbeResult, probe_model
from koel_tui.models.verified_models import ModelProperties, VerifiedModels
from tests.engine.processes import trials
from tests.engine.tiny_models import write_recurrent_model
from tests.models.damaged import patched
from tests.models.gguf_file import write_gguf


@pytest.fixture
def verified(tmp_path: Path) -> VerifiedModels:
    return VerifiedModels(tmp_path / "state" / "models.json", "1.0")


async def test_the_starter_passes_and_is_remembered(
    starter_path: Path, verified: VerifiedModels
) -> None:
    verdict = await probe_model(starter_path, verified)
    assert (verdict.ok, verdict.reason) == (True, "")
    assert (verdict.architecture, verdict.context_tokens) == ("llama", 8192)
    assert verdict.seconds > 0 and not verdict.remembered
    again = await probe_model(starter_path, verified)
    expected = ProbeResult(True, "", "llama", 8192, fitting_template="chatml", remembered=True)
    assert again == expected


async def test_a_recurrent_model_passes(tmp_path: Path, verified: VerifiedModels) -> None:
    verdict = await probe_model(write_recurrent_model(tmp_path / "m.gguf"), verified)
    assert (verdict.ok, verdict.architecture) == (True, "mamba"), verdict.reason


async def test_a_probe_result_is_remembered_by_content_and_file_status(
    tiny_path: Path, tmp_path: Path, verified: VerifiedModels
) -> None:
    assert not (await probe_model(tiny_path, verified)).remembered
    moved = tmp_path / "moved.gguf"
    shutil.copyfile(tiny_path, moved)
    assert (await probe_model(moved, verified)).remembered  # identified by its contents
    assert verified.find((moved,)) == ModelProperties("gemma3", 4096, fitting_template="chatml")
    assert not (await probe_model(moved, verified, again=True)).remembered
    with moved.open("r+b") as file:
        file.truncate(moved.stat().st_size - 10)
    assert verified.find((moved,)) is None
    changed = await probe_model(moved, verified)
    assert not changed.ok and not changed.remembered
    assert VerifiedModels(tmp_path / "state" / "models.json", "1.1").find((tiny_path,)) is None


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{", b'{"format": "koel-chat/models 1"}', b"[" * 100_000, b"\xff"],
    ids=range(6),
)  # fmt: skip
def test_a_damaged_file_of_verified_models_is_read_as_empty(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "models.json"
    path.write_bytes(content)
    model = write_gguf(tmp_path / "m.gguf")
    verified = VerifiedModels(path, "1.0")
    assert verified.find((model,)) is None
    verified.add((model,), "ab", ModelProperties("llama", 5))
    assert verified.find((model,)) == verified.find_by_hash("ab") == ModelProperties("llama", 5)
    assert json.loads(path.read_text())["engine"] == "1.0"
    assert sorted(each.name for each in tmp_path.iterdir() if "tmp" in each.name) == []


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "the file is empty"), (b"<html>", "it is not a GGUF file"), (b"GGUF", "cut off")],
)
async def test_a_bad_header_needs_no_trial(
    tmp_path: Path, verified: VerifiedModels, content: bytes, reason: str
) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(content)
    verdict = await probe_model(path, verified)
    assert not verdict.ok and reason in verdict.reason
    assert not (await probe_model(tmp_path / "absent.gguf", verified)).ok


async def test_a_model_with_a_missing_part_fails_its_probe(
    tmp_path: Path, verified: VerifiedModels
) -> None:
    verdict = await probe_model(write_gguf(tmp_path / "m-00001-of-00002.gguf"), verified)
    assert (verdict.ok, verdict.reason) == (
        False,
        "1 of its 2 parts is missing (m-00002-of-00002.gguf)",
    )


async def test_the_probe_of_a_model_that_llama_cpp_refuses_gives_the_reason(
    tmp_path: Path, verified: VerifiedModels
) -> None:
    verdict = await probe_model(write_gguf(tmp_path / "m.gguf"), verified)
    assert not verdict.ok and "architecture" in verdict.reason, verdict.reason
    assert str(tmp_path) not in verdict.reason
    assert verified.find((tmp_path / "m.gguf",)) is None


async def test_files_are_read_outside_the_thread_of_the_window(
    tmp_path: Path, verified: VerifiedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, used = threading.get_ident(), []

    def spied(path: Path, reason: str) -> str:
        used.append((threading.get_ident(), path.name))
        return ""

    real = Path.stat

    def stat(self: Path, **options: bool) -> os.stat_result:
        if self.suffix == ".gguf":
            used.append((threading.get_ident(), self.name))
        return real(self, **options)

    monkeypatch.setattr(probe, "explain_failure", spied)
    monkeypatch.setattr(Path, "stat", stat)
    await probe_model(write_gguf(tmp_path / "m.gguf"), verified)
    assert len(used) > 1 and here not in [thread for thread, _ in used]


@pytest.mark.parametrize("layers", [0, 513])
async def test_a_model_that_crashes_llama_cpp_is_bad(
    tiny_path: Path, tmp_path: Path, verified: VerifiedModels, layers: int
) -> None:
    bad = patched(tiny_path, tmp_path / "bad.gguf", "gemma3.block_count", layers)
    verdict = await probe_model(bad, verified)
    assert not verdict.ok
    assert "llama.cpp crashed (SIGABRT)" in verdict.reason and "ASSERT" in verdict.reason


async def test_memory_is_limited(
    starter_path: Path, verified: VerifiedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probe, "_EXTRA_BYTES", 100_000_000)  # less than the libraries need
    verdict = await probe_model(starter_path, verified)
    assert not verdict.ok and verdict.reason


async def test_a_probe_that_exceeds_its_timeout_fails(
    starter_path: Path, verified: VerifiedModels
) -> None:
    verdict = await probe_model(starter_path, verified, timeout_s=0.05)
    assert (verdict.ok, "within 0 seconds" in verdict.reason) == (False, True)
    assert trials() == []


async def test_a_cancelled_probe_leaves_no_process(
    starter_path: Path, verified: VerifiedModels
) -> None:
    probing = asyncio.create_task(probe_model(starter_path, verified))
    async with asyncio.timeout(20):
        while not trials():
            await asyncio.sleep(0.005)
    trial = trials()[0]
    os.kill(trial.pid, signal.SIGSTOP)  # it cannot exit on its own
    probing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await probing
    assert trials() == []


@pytest.mark.parametrize("said", ["", "{}", "[]", '{"reason": "", "context_tokens": 1e999}'])
def test_a_model_test_with_unreadable_output_fails(said: str) -> None:
    verdict = probe._parse_result(0, said, "", 1.0)
    assert (verdict.ok, verdict.reason) == (False, "the test gave no readable result")


async def test_the_file_of_verified_models_is_read_once_for_many_models(
    tmp_path: Path, verified: VerifiedModels, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = [(write_gguf(tmp_path / f"{n}.gguf", seed=n),) for n in range(3)]
    for number in (0, 2):
        verified.add(models[number], str(number), ModelProperties("llama", number))
    memory = verified._read()
    reads = iter([memory])
    monkeypatch.setattr(VerifiedModels, "_read", lambda _: next(reads))
    known = list(verified.find_each(models))
    assert known == [ModelProperties("llama", 0), None, ModelProperties("llama", 2)]
