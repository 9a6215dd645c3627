"""Tests of model downloads over HTTP: stopped, interrupted, resumed, tested and chosen."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len

from koel_tui import paths
from koel_tui.models import hub
from koel_tui.ui.models.model_download import DownloadProgress, Rate
from koel_tui.ui.models.model_panel import ModelPanel, format_progress
from tests.engine.tiny_models import write_sliding_model
from tests.models.gguf_file import gguf_bytes, write_gguf
from tests.models.hub_server import HubServer
from tests.ui.models.first_run import FirstRun, first_run, left
from tests.ui.terminal_output import WORST, assert_harmless
from tests.ui.window import Window

__all__ = ["first_run"]

REPO = "owner/model-GGUF"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with HubServer({"m-Q4_K_M.gguf": gguf_bytes(3_000_000)}) as server:
        endpoint = hub.Hub(server.url)
        monkeypatch.setattr(hub, "Hub", lambda: endpoint)
        yield server


def installed() -> list[str]:
    return [path.name for path in paths.models_dir().rglob("*.gguf")]


async def get(window: Window) -> None:
    """Start the download of the model on the server."""
    await window.type(REPO)
    await window.sees(f"↓ {REPO}")
    await window.press("enter")


async def test_an_interrupted_download_is_resumed_tested_and_chosen(
    first_run: FirstRun, server: HubServer, tmp_path: Path
) -> None:
    tiny = write_sliding_model(tmp_path / "tiny.gguf").read_bytes()
    server.files = {"m-Q4_K_M.gguf": tiny}
    server.cuts = [len(tiny) // 3]
    server.gate = threading.Event()
    async with first_run.without_model() as window:
        await get(window)
        await window.sees("50% of")
        await window.sees("del stops it")
        assert installed() == []
        await left(window)
        await window.until(lambda: "downloading model-GGUF 50%" in window.status)
        assert "No model" in window.status
        server.gate.set()
        await window.until(lambda: "verifying model-GGUF" in window.status)
        await window.tells("m-Q4_K_M answers from now on, and at the next start.")
        assert [agent.path.name for agent in first_run.chosen] == installed() == ["m-Q4_K_M.gguf"]
        await window.press("alt+shift+m")
        await window.sees("works")
        await left(window)
    assert server.begins[0] == 0 and server.begins[1] > 0  # resumed, not restarted
    assert "m-Q4_K_M.gguf" in paths.config_file().read_text()


async def test_a_download_is_stopped_kept_and_resumed(
    first_run: FirstRun, server: HubServer
) -> None:
    server.gate = threading.Event()
    async with first_run.without_model((60, 15)) as window:
        await get(window)
        await window.sees("50% of 3.0 MB")
        assert [cell_len(line) for line in window.lines] == [60] * 15
        await window.press("enter")
        await window.sees("A download is running")
        await window.press("delete")
        await window.sees("Stopping…")
        server.gate.set()
        await window.sees("Stopped at ")
        assert installed() == []
        await window.press("enter")
        # The file is complete, but llama.cpp cannot load it: the trial reports that.
        await window.sees("cannot be used: ")
        assert isinstance(window.app.screen, ModelPanel) and first_run.chosen == []
    assert server.begins[1] > 0


async def test_a_failed_download_is_reported_with_the_next_step(
    first_run: FirstRun, server: HubServer
) -> None:
    async with first_run.without_model() as window:
        await window.type(f"{REPO} Q9")
        await window.press("enter")
        await window.sees("No files match 'Q9'")
        await window.sees("↓ m-Q4_K_M.gguf")  # an existing file can be chosen
        server.statuses = [403]
        await window.press("enter")
        await window.sees("The server refused owner/model-GGUF/m-Q4_K_M.gguf (403).")
        await left(window)
        await window.press("alt+shift+m")
        await window.sees("SmolLM2-1.7B")
        server.gate = threading.Event()
        server.digests = {"m-Q4_K_M.gguf": "0" * 64}
        await get(window)
        await window.sees("50% of")
        await left(window)
        server.gate.set()
        await window.sees("The SHA-256 of")
    assert installed() == [] and first_run.chosen == []


async def test_leaving_ends_a_download_without_waiting_for_the_server(
    first_run: FirstRun, server: HubServer
) -> None:
    server.gate = threading.Event()
    async with asyncio.timeout(8), first_run.without_model() as window:
        await get(window)
        await window.sees("50% of")
        await window.press("ctrl+q")
        await window.until(lambda: window.app.return_code is not None, "the end")
    assert not server.gate.is_set() and installed() == []


async def test_a_download_does_not_replace_a_model_chosen_meanwhile(
    first_run: FirstRun, server: HubServer, tmp_path: Path, private_home: Path
) -> None:
    server.files = {"m-Q4_K_M.gguf": write_sliding_model(tmp_path / "tiny.gguf").read_bytes()}
    server.gate = threading.Event()
    write_gguf(private_home / "models" / "other.gguf")
    async with first_run.without_model() as window:
        await get(window)
        await window.sees("50% of")
        await window.press(*["backspace"] * len(REPO))
        await window.type("other")
        await window.until(lambda: "Qwen3" not in window.screen)
        await window.press("enter")
        await window.tells("other answers from now on")
        server.gate.set()
        await window.tells("model-GGUF is downloaded and works. alt+shift+m shows it.")
    assert [agent.path.name for agent in first_run.chosen] == ["other.gguf"]


async def test_names_of_models_and_words_of_servers_are_harmless(
    first_run: FirstRun, server: HubServer, private_home: Path
) -> None:
    name = WORST.replace("/", "").replace("\0", "")[:60]
    write_gguf(private_home / "models" / f"{name}.gguf")
    server.files = {f"{name}{n}.gguf": gguf_bytes(100, n) for n in range(3)}
    async with first_run.without_model((120, 60)) as window:
        await window.sees("~/models")
        assert_harmless(window)
        await get(window)
        await window.sees("Which file do you want?")
        assert_harmless(window)
        await window.press("enter")


def test_the_speed_is_that_of_the_last_seconds() -> None:
    rate = Rate()
    assert rate.per_s(0) == 0
    rate.record(0, 1_000_000_000)  # already on the disk
    rate.record(10, 1_000_000_000)
    for second in range(11, 16):
        rate.record(second, 1_000_000_000 + (second - 10) * 200)
    assert rate.per_s(15) == 200
    assert rate.per_s(30) == 0


def test_the_progress_fits_its_width() -> None:
    downloading = DownloadProgress("downloading", "n" * 60, 42, 100, 3_000_000)
    for width in (56, 76):
        lines = format_progress(downloading, width).plain.split("\n")
        assert len(lines) == 2 and max(map(cell_len, lines)) <= width
    assert "42% of 100 B, 3.0 MB/s" in lines[1]
    assert downloading.status_text.endswith("42% of 100 B, 3.0 MB/s")
