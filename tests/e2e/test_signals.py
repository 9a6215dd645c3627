"""Signals in a real terminal with the real model: text is saved and the terminal restored."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from tests.e2e.terminal import Terminal
from tests.e2e.threads import saved_messages
from tests.hostile_summary import Tally

WITH_DISK = (sys.executable, "-m", "tests.e2e.faulty_program", "disk")
QUESTION = "Tell me a long story about the sea."
LONG_QUESTION = "The keeper of the lighthouse wrote down what he saw on the sea. " * 110
WITHIN = 3.0
SLACK = 1.0
"""Additional seconds for a busy machine."""
PHASES = ("idle", "reading", "writing", "saving", "dialog")
ENDS = ("SIGTERM", "SIGHUP", "SIGINT", "closed")
BY_DEFAULT = {("reading", "SIGHUP"), ("writing", "SIGTERM"), ("saving", "SIGINT")}
COMBINATIONS = [
    pytest.param(
        phase,
        end,
        marks=() if (phase, end) in BY_DEFAULT else pytest.mark.slow,
        id=f"{phase}-{end}",
    )
    for phase in PHASES
    for end in ENDS
]


@contextmanager
def running(tmp_path: Path, **settings: str) -> Iterator[Terminal]:
    """Yield the program with a loaded model and a disk that the file `hold` blocks."""
    environment = {"KOEL_TEMPERATURE": "0", "HELD_BY": str(tmp_path / "hold"), **settings}
    with Terminal(command=WITH_DISK, environment=environment) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        yield terminal


def reach(phase: str, terminal: Terminal, hold: Path) -> None:
    """Bring the window into one of `PHASES`."""
    if phase == "saving":
        hold.touch()  # before the question, because a short answer may be saved at once
    if phase in ("writing", "saving"):
        terminal.ask(QUESTION)
        terminal.until(lambda screen: "tok/s" in screen)
    if phase == "saving":
        terminal.until(lambda _: hold.with_suffix(".on").exists())
    if phase == "reading":
        terminal.type(f"\x1b[200~{LONG_QUESTION}\x1b[201~")
        terminal.until(lambda screen: "[pasted " in screen)
        terminal.press("enter")
        terminal.until(lambda screen: "eading" in screen)
    if phase == "dialog":
        terminal.type("half a thought")
        terminal.press("f1")
        terminal.until(lambda screen: "esc closes" in screen)


def end_by(end: str, terminal: Terminal) -> None:
    if end == "closed":
        terminal.hang_up()
    else:
        terminal.child.kill(getattr(signal, end))


def ended(terminal: Terminal, closed: bool = False) -> int:
    """Return the exit code of a program that must end now; `closed` means a closed terminal."""
    begun = time.monotonic()
    if closed:
        wait_until(lambda: not terminal.child.isalive())
        code = terminal.child.exitstatus or 0
    else:
        code = terminal.wait()
        assert terminal.restored()
    assert time.monotonic() - begun < WITHIN + SLACK
    return code


def wait_until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def stop(terminal: Terminal, number: int) -> None:
    """Stop the program by a signal, and read its output until it stops."""
    program = psutil.Process(terminal.child.pid)
    terminal.child.kill(number)
    terminal.until(lambda _: program.status() == psutil.STATUS_STOPPED)
    if number == signal.SIGTSTP:
        terminal.until(lambda _: terminal.restored())


def goes_on(terminal: Terminal, sees: str) -> None:
    """Continue the program, and check that it repaints the screen."""
    terminal.forget_screen()
    terminal.child.kill(signal.SIGCONT)
    terminal.until(lambda screen: sees in screen and "1 " in terminal.label_row)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("phase", "end"), COMBINATIONS)
def test_a_signal_in_any_phase_ends_the_program_and_saves_the_thread(
    tmp_path: Path, phase: str, end: str, tally: Tally
) -> None:
    with running(tmp_path, KOEL_THREADS="1" if phase == "reading" else "2") as terminal:
        reach(phase, terminal, tmp_path / "hold")
        end_by(end, terminal)
        if phase == "saving":
            terminal.child.kill(signal.SIGTERM)  # a second signal must not interrupt the save
            (tmp_path / "hold").unlink()
        number = signal.SIGHUP if end == "closed" else getattr(signal, end)
        code = ended(terminal, closed=end == "closed")
        assert code == 128 + number or (phase == "saving" and code == 143)
    if phase in ("writing", "saving"):
        question, answer = asyncio.run(saved_messages())
        assert question.content == QUESTION
        assert answer.content and answer.interrupted, "it cannot be continued"
    if phase == "reading":
        (question,) = asyncio.run(saved_messages())
        assert question.content.strip() == LONG_QUESTION.strip()
    if phase == "dialog":
        kept = Path(os.environ["XDG_STATE_HOME"], "koel-chat", "tabs-1.json").read_text()
        assert "half a thought" in kept
    tally("signals", tried=1)


@pytest.mark.timeout(120)
def test_a_suspended_window_continues_in_any_phase(tmp_path: Path, tally: Tally) -> None:
    """A suspended program restores the terminal for the shell; later it repaints everything."""
    hold = tmp_path / "hold"
    with running(tmp_path, KOEL_THREADS="1", KOEL_MAX_OUTPUT_TOKENS="150") as terminal:
        stop(terminal, signal.SIGTSTP)
        goes_on(terminal, "Ask anything")
        reach("dialog", terminal, hold)
        stop(terminal, signal.SIGTSTP)
        goes_on(terminal, "esc closes")
        terminal.press("escape")
        terminal.until(lambda screen: "esc closes" not in screen)
        terminal.press("ctrl+u")
        reach("saving", terminal, hold)
        stop(terminal, signal.SIGTSTP)
        hold.unlink()
        goes_on(terminal, QUESTION)
        terminal.until(lambda screen: "⌛" not in screen and "· saved" in screen)
        terminal.ask("And then?")
        terminal.until(lambda screen: "⌛" in screen)
        stop(terminal, signal.SIGTSTP)
        goes_on(terminal, "And then?")
        terminal.until(lambda screen: "⌛" not in screen and "· saved" in screen)
        reach("reading", terminal, hold)
        stop(terminal, signal.SIGTSTP)
        goes_on(terminal, "lighthouse")
        terminal.press("escape", "ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()
    messages = asyncio.run(saved_messages())
    assert [bool(message.content) and not message.interrupted for message in messages[:4]] == [
        True
    ] * 4, "an answer did not go on to its end"
    tally("signals", tried=5)


@pytest.mark.timeout(60)
def test_a_window_stopped_by_sigstop_continues(tmp_path: Path, tally: Tally) -> None:
    with running(tmp_path) as terminal:
        stop(terminal, signal.SIGSTOP)
        goes_on(terminal, "Ask anything")
        terminal.type("once")
        terminal.until(lambda screen: "│ once " in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()
    tally("signals", tried=1)


@pytest.mark.timeout(60)
def test_a_signal_while_the_window_opens_ends_the_program(tally: Tally) -> None:
    with Terminal() as terminal:
        terminal.until(lambda _: b"\x1b[?1049h" in terminal.bytes)
        terminal.child.kill(signal.SIGTERM)
        assert ended(terminal) == 143
    tally("signals", tried=1)


@pytest.mark.timeout(60)
def test_a_signal_ends_the_program_while_the_engine_hangs(tmp_path: Path, tally: Tally) -> None:
    with running(tmp_path) as terminal:
        reach("writing", terminal, tmp_path / "hold")
        helpers = psutil.Process(terminal.child.pid).children(recursive=True)
        (runner,) = [each for each in helpers if "koel_tui.engine.runner.process" in each.cmdline()]
        runner.suspend()  # like a native call that never returns
        try:
            terminal.child.kill(signal.SIGTERM)
            assert ended(terminal) == 143
            runner.wait(2)
        finally:
            for each in helpers:
                if each.is_running():
                    each.kill()
    _, answer = asyncio.run(saved_messages())
    assert answer.content and answer.interrupted
    tally("signals", tried=1)


@pytest.mark.slow
@pytest.mark.timeout(60)
def test_a_signal_ends_the_program_with_74_while_a_save_hangs(tmp_path: Path, tally: Tally) -> None:
    """The partial answer cannot be saved; the exit code reports it, and older text is intact."""
    with running(tmp_path) as terminal:
        terminal.ask("Say hello.")
        terminal.until(lambda screen: "· saved" in screen)
        reach("saving", terminal, tmp_path / "hold")
        terminal.child.kill(signal.SIGHUP)
        assert ended(terminal) == 74
    assert asyncio.run(saved_messages())[0].content == "Say hello."
    tally("signals", tried=1)
