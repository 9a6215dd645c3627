"""Pastes in the plain mode on a real terminal: one message, and no key in it has an effect."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import psutil
import pytest

from koel_tui.plain.terminal import marks_pastes
from tests.e2e.terminal import PROGRAM as KOEL_CHAT
from tests.e2e.terminal import Terminal
from tests.plain.echo_program import answer_to

PROGRAM = (sys.executable, "-m", "tests.plain.echo_program")
WITHOUT_READLINE = (
    sys.executable,
    "-c",
    "import sys; sys.modules['readline'] = None; sys.argv = ['echo', *sys.argv[1:]]; "
    "from tests.plain.echo_program import main; sys.exit(main())",
)
ON, OFF = b"\x1b[?2004h", b"\x1b[?2004l"


def marked(text: str) -> str:
    return f"\x1b[200~{text}\x1b[201~"


def prompts(screen: str) -> bool:
    return screen.rstrip().endswith("You:")


@contextmanager
def started(
    *arguments: str,
    environment: Mapping[str, str] = MappingProxyType({"TERM": "xterm-256color"}),
    command: tuple[str, ...] = PROGRAM,
) -> Iterator[Terminal]:
    """Start the plain mode, and wait for its first prompt."""
    with Terminal(
        *arguments, command=command, environment=environment, columns=80, rows=24
    ) as terminal:
        terminal.until(lambda screen: "is ready" in screen and prompts(screen))
        yield terminal


def answered(terminal: Terminal, message: str) -> None:
    """Wait until the agent has answered with this message, then for the prompt."""
    answer = answer_to(message).replace("\n", "")
    terminal.until(lambda screen: answer in screen.replace("\n", "") and prompts(screen))
    terminal.forget_screen()
    terminal.type("\r")


def finish_answer(terminal: Terminal) -> None:
    terminal.child.kill(signal.SIGUSR1)


def quits(terminal: Terminal, keys: str = "\x04", code: int = 0) -> None:
    terminal.type(keys)
    assert terminal.wait() == code
    assert terminal.restored()


@pytest.mark.parametrize("command", [PROGRAM, pytest.param(WITHOUT_READLINE, id="no readline")])
def test_report_10_a_paste_at_the_prompt_is_one_message(command: tuple[str, ...]) -> None:
    with started(command=command) as terminal:
        terminal.type(marked("one\n/quit\nthree "))
        terminal.until(lambda screen: "three" in screen)
        assert "Model" not in terminal.text, "a paste sends nothing"
        terminal.press("enter")
        answered(terminal, "one\n/quit\nthree ")
        quits(terminal)


@pytest.mark.slow
def test_report_10_a_paste_while_an_answer_is_written_is_one_message() -> None:
    with started() as terminal:
        terminal.ask("slow one")
        terminal.until(lambda screen: "Begun." in screen)
        terminal.type(marked("one\n/quit\n/stop\nthree "))
        terminal.until(lambda screen: "three" in screen)
        terminal.press("enter")
        terminal.until(lambda screen: "Queued." in screen)
        terminal.type("more")
        terminal.until(lambda screen: "more" in screen)
        finish_answer(terminal)
        terminal.until(lambda screen: screen.rstrip().endswith("You: more"))
        assert json.dumps("slow one") in terminal.text, "nothing has stopped it"
        assert json.dumps("one\n/quit\n/stop\nthree ") in terminal.text
        quits(terminal, "\x15\x04")


@pytest.mark.slow
@pytest.mark.parametrize("when", ["at the prompt", "while an answer is written"])
def test_report_10_pastes_of_every_kind_are_one_message_each(when: str) -> None:
    cases = {
        "a\r/quit\rb": "a\n/quit\nb",
        "a\r\n/quit\r\nb": "a\n/quit\nb",
        "/quit\nb": "/quit\nb",
        "/quit\r": "/quit\n",
        "// note\nint x;": "// note\nint x;",
        "a\\\n/quit\nb\\": "a\\\n/quit\nb\\",
        "a\x1b[A\x03\x04\x1a\n/quit": "a␛[A␃␄␚\n/quit",
        "a\x1b[201~\r/quit\rb": "a␛[201~\n/quit\nb",
        "a\x1b[201~/quit\r\x1b[200~\nb": "a␛[201~/quit\n␛[200~\nb",
        "日本語\n\tx = 'é'": "日本語\n\tx = 'é'",
        "x" * 3000 + "\n/quit": "x" * 3000 + "\n/quit",
    }
    with started() as terminal:
        for pasted, message in cases.items():
            if when != "at the prompt":
                terminal.ask("slow one")
                terminal.until(lambda screen: "Begun." in screen)
            terminal.type(marked(pasted) + "\r")
            if when != "at the prompt":
                terminal.until(lambda screen: "Queued." in screen)
                finish_answer(terminal)
            answered(terminal, message)
        quits(terminal)


@pytest.mark.slow
def test_report_10_a_very_large_paste_is_a_placeholder_and_sent_whole() -> None:
    large = "".join(f"/quit {number}\n" for number in range(60_000))
    with started() as terminal:
        terminal.type(marked(large))
        terminal.until(lambda screen: "[pasted 60000 lines #1]" in screen)
        terminal.press("enter")
        answered(terminal, large)
        terminal.press("up")
        terminal.until(lambda screen: "[pasted 60000 lines #1]" in screen)
        quits(terminal, "\x15\x04")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "interval"), [("xterm-256color", 0.25), ("linux", 0.01)])
def test_report_34_a_held_ctrl_c_quits(name: str, interval: float) -> None:
    """The repeated bytes must not extend the wait for the end of the paste."""
    released = threading.Event()
    with started(environment={"TERM": name}) as terminal:
        terminal.type("\x1b[200~one" if name.startswith("xterm") else "one")

        def hold() -> None:
            while not released.wait(interval):
                os.write(terminal.child.child_fd, b"\x03")

        holding = threading.Thread(target=hold)
        holding.start()
        try:
            terminal.until(lambda screen: "Press ctrl+c again" in screen, 5)
            assert terminal.wait() in (130, -signal.SIGINT)  # the next ctrl+c may come as SIGINT
        finally:
            released.set()
            holding.join()


@pytest.mark.slow
def test_report_10_a_paste_that_never_ends_is_ended_by_a_key() -> None:
    with started() as terminal:
        terminal.type("\x1b[200~one\n/quit\nthree")
        terminal.until(lambda screen: "three" in screen)
        terminal.press("enter")
        answered(terminal, "one\n/quit\nthree")
        terminal.type("\x1b[200~one\n/quit\n")
        terminal.until(lambda screen: "/quit" in screen)
        terminal.press("ctrl+c")
        terminal.until(lambda screen: "Press ctrl+c again" in screen)
        terminal.press("ctrl+c")
        assert terminal.wait() == 130 and terminal.restored()


@pytest.mark.slow
def test_report_10_ctrl_c_and_ctrl_d_around_a_paste_are_keys() -> None:
    with started() as terminal:
        terminal.type("\x03" + marked("a\nb"))
        terminal.until(lambda screen: "Press ctrl+c again" in screen and "\nb" in screen)
        terminal.type("\x04")  # no effect: the line has text, but none after the cursor
        terminal.type("c\r")
        answered(terminal, "a\nbc")
        terminal.type(marked("a\nb"))
        terminal.until(lambda screen: screen.rstrip().endswith("You: a\nb"))
        terminal.type("\x15\x08\x15")
        terminal.until(lambda screen: screen.rstrip().endswith("You:"))
        terminal.type(marked("c\nd") + "\r")
        answered(terminal, "c\nd")
        quits(terminal)


@pytest.mark.slow
def test_report_10_ctrl_c_after_a_paste_stops_the_answer_and_keeps_the_paste() -> None:
    with started() as terminal:
        terminal.ask("slow one")
        terminal.until(lambda screen: "Begun." in screen)
        terminal.type(marked("a\n/quit") + "\x03")
        terminal.until(lambda screen: "was stopped" in screen)
        terminal.until(lambda screen: screen.rstrip().endswith("You: a\n/quit"))
        terminal.type("\x03\x03")
        assert terminal.wait() == 130 and terminal.restored()


@pytest.mark.slow
@pytest.mark.parametrize("line_end", ["\n", "\r", "\r\n"])
def test_report_10_a_terminal_without_paste_markers_gets_no_escape_sequence(line_end: str) -> None:
    with started(environment={"TERM": "dumb"}) as terminal:
        terminal.type(line_end.join(["one", "/quit", "three"]))
        terminal.until(lambda screen: "three" in screen)
        terminal.press("enter")
        answered(terminal, "one\n/quit\nthree")
        terminal.ask("slow one")
        terminal.until(lambda screen: "Begun." in screen)
        terminal.type(line_end.join(["/quit", "three"]))
        terminal.until(lambda screen: "[pasted 2 lines #1]" in screen)
        terminal.press("enter")
        terminal.until(lambda screen: "Queued." in screen)
        finish_answer(terminal)
        answered(terminal, "/quit\nthree")
        quits(terminal)
        assert b"\x1b" not in terminal.bytes


@pytest.mark.slow
@pytest.mark.parametrize("environment", [{"TERM": "linux"}, {"TERM": "screen", "STY": "1.tty"}])
def test_report_10_a_terminal_that_ignores_paste_markers(environment: dict[str, str]) -> None:
    with started(environment=environment) as terminal:
        terminal.type("one\r/quit\rthree")
        terminal.until(lambda screen: "three" in screen)
        terminal.press("enter")
        answered(terminal, "one\n/quit\nthree")
        terminal.type(marked("a\n/quit") + "\r")
        answered(terminal, "a\n/quit")
        terminal.type("b\rc\r")  # after a marked paste, these are keys
        answered(terminal, "c")
        quits(terminal)


@pytest.mark.parametrize(
    ("environment", "marks"),
    [
        ({"TERM": "xterm-256color"}, True),
        ({"TERM": "tmux-256color", "TMUX": "x", "STY": "1"}, True),
        ({"TERM": "screen", "STY": "1"}, False),
        ({"TERM": "screen.xterm-256color"}, False),  # over ssh
        ({"TERM": "screen-256color", "TMUX": "x"}, True),
        ({"TERM": "vt220"}, False),
        ({}, False),
    ],
)
def test_report_10_terminals_that_mark_pastes(environment: dict[str, str], marks: bool) -> None:
    assert marks_pastes(environment) is marks


@pytest.mark.slow
@pytest.mark.parametrize("start", ["", "--late"])
@pytest.mark.parametrize("stop", ["ctrl+z", "SIGTSTP"])
def test_a_stopped_program_leaves_the_terminal_as_it_was(
    tmp_path: Path, start: str, stop: str
) -> None:
    shell = ("bash", "--norc", "--noediting", "-i")
    with Terminal(command=shell, columns=80, rows=24, environment={"PS1": "$ "}) as terminal:
        terminal.type(f"{sys.executable} -m tests.plain.echo_program {tmp_path} {start}\n")
        waits = "plain mode" if start else "is ready"
        terminal.until(lambda screen: waits in screen and (start or prompts(screen)))
        for _ in range(2):
            before = len(terminal.bytes)
            if stop == "ctrl+z":
                terminal.press("ctrl+z")
            else:
                (program,) = psutil.Process(terminal.child.pid).children()
                program.send_signal(signal.SIGTSTP)
            terminal.until(lambda screen: "Stopped" in screen)
            stopped = terminal.bytes[before:]
            assert OFF in stopped and ON not in stopped
            terminal.forget_screen()
            terminal.type("stty -a\n")
            terminal.until(lambda screen: " icanon" in screen and " echo " in screen)
            before = len(terminal.bytes)
            terminal.type("fg\n")
            terminal.until(lambda screen: screen.rstrip().endswith("You:"))
            assert ON in terminal.bytes[before:]
        terminal.type(marked("one\n/quit") + "\r")
        answered(terminal, "one\n/quit")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "crash", "/quit\r", "\x1c"])
def test_report_10_paste_markers_are_turned_off_at_every_end(name: str) -> None:
    if name == "crash":
        with Terminal("", "--crash", command=PROGRAM) as terminal:
            assert terminal.wait() != 0
            assert ON in terminal.bytes and terminal.restored()
        return
    with started() as terminal:
        assert terminal.bytes.count(ON) > terminal.bytes.count(OFF)
        terminal.type("half" if name.startswith("SIG") else "")
        if name.startswith("SIG"):
            terminal.until(lambda screen: "You: half" in screen)
            terminal.child.kill(getattr(signal, name))
        else:
            terminal.type(name)
        terminal.wait()
        assert terminal.restored() and terminal.bytes.rstrip().endswith(OFF)


@pytest.mark.parametrize(("name", "ends"), [("xterm-kitty", True), ("linux", False)])
def test_report_34_key_reports_that_another_program_left_on_are_ended(
    name: str, ends: bool
) -> None:
    with started(environment={"TERM": name}) as terminal:
        assert (b"\x1b[=0u" in terminal.bytes) is ends
        quits(terminal)


@pytest.mark.slow
def test_report_10_paste_markers_are_turned_off_by_the_forced_exit() -> None:
    with started() as terminal:
        terminal.ask("block")
        terminal.until(lambda screen: "blocked" in screen)
        terminal.child.kill(signal.SIGTERM)
        assert terminal.wait() == 74
        assert terminal.restored() and terminal.bytes.endswith(OFF)


@pytest.mark.slow
def test_report_10_a_paste_that_was_not_sent_is_restored_as_text(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    with started(state) as terminal:
        terminal.type(marked("/quit\nor not\n"))
        terminal.until(lambda screen: "[pasted" in screen)
        terminal.child.kill(signal.SIGTERM)
        assert terminal.wait() == 143
    with Terminal(state, command=PROGRAM) as terminal:
        terminal.until(lambda screen: "ready" in screen and "[pasted 2 lines #1]" in screen)
        terminal.press("enter")
        answered(terminal, "/quit\nor not\n")
        terminal.press("up")
        terminal.until(lambda screen: "[pasted 2 lines #1]" in screen)
        quits(terminal, "\x15\x04")


@pytest.mark.slow
def test_text_typed_during_an_answer_is_kept_at_the_end(tmp_path: Path) -> None:
    state = str(tmp_path / "state")
    with started(state) as terminal:
        terminal.ask("slow one")
        terminal.until(lambda screen: "Begun." in screen)
        terminal.type("half a thought")
        terminal.until(lambda screen: "half a thought" in screen)
        terminal.child.kill(signal.SIGTERM)
        assert terminal.wait() == 143
    with Terminal(state, command=PROGRAM) as terminal:
        terminal.until(lambda screen: screen.rstrip().endswith("You: half a thought"))
        quits(terminal, "\x15\x04")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("\x1b[200~not\nlost", ["not", "lost"]),
        ("x\\\r/quit\\\r\x1b[200~lost", ["x", "/quit", "lost"]),
        ("/quit\rnot\rlo\x7fost", ["not", "lost"]),
    ],
)
def test_input_that_no_read_has_handled_is_kept_at_the_end(
    tmp_path: Path, typed: str, kept: list[str]
) -> None:
    state = str(tmp_path / "state")
    with started(state) as terminal:
        terminal.type(typed)
        if not typed.startswith("/quit"):
            time.sleep(0.3)  # shorter than the wait for the end of a paste
            terminal.child.kill(signal.SIGTERM)
        assert terminal.wait() == (0 if typed.startswith("/quit") else 143)
    with Terminal(state, command=PROGRAM) as terminal:
        terminal.until(lambda screen: kept[-1] in screen)
        lines = terminal.until(lambda screen: "ready" in screen).replace("More: ", "You: ")
        assert all(f"You: {line}" in lines for line in kept)
        quits(terminal, "\x15\x03\x03", 130)


def test_report_10_lines_from_a_pipe_are_not_read() -> None:
    done = subprocess.run(
        [KOEL_CHAT, "--plain"], input="one\n/quit\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and done.stdout == ""
    assert "plain mode needs a terminal" in done.stderr
