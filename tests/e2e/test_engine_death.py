"""Engine crashes in a real terminal: they are reported, and no thread is damaged."""

import asyncio
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from koel_tui import paths
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage
from tests.e2e.terminal import PROGRAM, Terminal
from tests.engine.tiny_models import write_sliding_model
from tests.hostile_summary import Tally
from tests.models.damaged import patched

ASSERTED = "GGML_ASSERT("


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    """A model with 513 layers, at which llama.cpp aborts."""
    whole = write_sliding_model(tmp_path / "whole.gguf")
    return patched(whole, tmp_path / "bad.gguf", "gemma3.block_count", 513)


@pytest.fixture
def threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[Path, bytes]]:
    """Save a thread; check that it does not change and that no core file is written."""
    monkeypatch.chdir(tmp_path)
    kept = ChatState(messages=(Message("1", "user", "keep me"),))
    asyncio.run(JsonFileStorage(paths.threads_dir()).save("kept", kept))
    saved = {path: path.read_bytes() for path in paths.threads_dir().glob("*.json")}
    assert len(saved) == 1
    yield saved
    assert {path: path.read_bytes() for path in saved} == saved
    assert list(tmp_path.rglob("core*")) == []


def test_ask_exits_with_71_and_prints_the_failed_assertion(
    bad: Path, threads: dict[Path, bytes], tally: Tally
) -> None:
    done = subprocess.run(
        [PROGRAM, "ask", "hi", "--model", str(bad)],
        capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (71, "")
    assert ASSERTED in done.stderr and "SIGABRT" in done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr
    tally("engine crash", tried=1, lost=0)


def test_the_window_survives_an_engine_crash_and_restores_the_terminal(
    bad: Path, threads: dict[Path, bytes], tally: Tally
) -> None:
    with Terminal("--model", str(bad), columns=200, rows=40) as terminal:
        terminal.until(lambda screen: "No model" in screen and ASSERTED in screen)
        assert "(llama-model.cpp:" in terminal.text and "SIGABRT" in terminal.text
        assert terminal.child.isalive()
        terminal.press("ctrl+q")
        assert terminal.wait() in (66, 71)
        assert terminal.restored()
        assert ASSERTED in terminal.text
    tally("engine crash", tried=1, lost=0)


@pytest.mark.timeout(240)
def test_a_killed_engine_loses_one_answer_and_no_thread(
    tmp_path: Path, threads: dict[Path, bytes], tally: Tally
) -> None:
    model = write_sliding_model(tmp_path / "tiny.gguf")
    environment = {"KOEL_TEMPERATURE": "0", "KOEL_CONTEXT_TOKENS": "4096"}
    with Terminal("--model", str(model), environment=environment) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        terminal.ask("First question")
        (runner,) = [
            child
            for child in psutil.Process(terminal.child.pid).children(recursive=True)
            if "koel_tui.engine.runner.process" in child.cmdline()
        ]
        terminal.until(lambda screen: "⌛" in screen and "tok/s" in screen)
        runner.suspend()  # otherwise it might finish before the second question
        try:
            terminal.press("ctrl+n")
            terminal.until(lambda _: "2 New thread" in terminal.label_row)
            terminal.ask("Second question")
            terminal.until(lambda _: "waiting" in terminal.label_row)
        finally:
            runner.send_signal(signal.SIGKILL)
        terminal.until(lambda screen: "waiting" not in screen and "tok/s" in screen)
        terminal.press("alt+1")
        terminal.until(lambda screen: "SIGKILL" in screen and "Retry (alt+r)" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()
    saved = b"".join(path.read_bytes() for path in paths.threads_dir().glob("*.json"))
    assert b"First question" in saved and b"Second question" in saved
    assert b"SIGKILL" not in saved, "the error was saved"
    tally("engine crash", tried=1, lost=0)
