"""The stdin of `ask`, report 7: it reports that it waits, and `--no-stdin` never reads."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from koel_tui.cli import wiring
from koel_tui.cli.main import run
from koel_tui.cli.stdio import reading
from tests.cli.asking import Playing, answer_of
from tests.cli.commands import PROGRAM, Said
from tests.cli.stdio.piping import NO_MODEL, started
from tests.ui.scripted import Turn

WAITING = (
    "koel-chat: Waiting for the end of the text on stdin. "
    "To answer without it, add --no-stdin or < /dev/null.\n"
)
SCRIPT_NOTICE = (
    "koel-chat: The question includes 2 lines from the stdin of the calling script. "
    "If these lines are meant for a loop in it, add --no-stdin.\n"
)
SILENCE_S = 0.1
Pipe = tuple[int, int]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    """The two ends of a pipe, closed after the test if they are still open."""
    ends = os.pipe()
    yield ends
    for end in ends:
        try:
            os.close(end)
        except OSError:
            continue


class Ask:
    """Runs `ask` in this process with a descriptor as stdin; the answer echoes the prompt."""

    def __init__(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._capsys, self._monkeypatch = capsys, monkeypatch
        self._is_waiting = threading.Event()
        print_line = click.echo

        def echo(message: object = None, **options: Any) -> None:
            print_line(message, **options)
            if f"{message}\n" == WAITING:
                self._is_waiting.set()

        monkeypatch.setattr(click, "echo", echo)

    def __call__(self, stdin: int, *words: str) -> Said:
        with os.fdopen(os.dup(stdin)) as stream, self._monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", stream)
            code = run(["ask", *words])
        said = self._capsys.readouterr()
        return Said(code, said.out, said.err)

    def write_later(self, end: int, *texts: bytes) -> None:
        """Write the texts with pauses once `ask` reports that it waits, then close the pipe."""

        def write() -> None:
            self._is_waiting.wait(20)
            for text in texts:
                os.write(end, text)
                pause.wait(3 * SILENCE_S)
            os.close(end)

        pause = threading.Event()
        threading.Thread(target=write, daemon=True).start()


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Ask:
    def echo(turn: Turn) -> None:
        turn.write(str(turn.prompt))
        turn.finish("end")

    monkeypatch.setattr(wiring, "create_model_router", lambda *_: Playing(echo))
    monkeypatch.setattr(reading, "_SILENCE_S", SILENCE_S)
    return Ask(capsys, monkeypatch)


@pytest.mark.parametrize("json", [(), ("--json",)])
def test_report_7_an_open_stdin_is_waited_for_with_one_line(
    json: tuple[str, ...], ask: Ask, pipe: Pipe
) -> None:
    ask.write_later(pipe[1])
    said = ask(pipe[0], "Say hi.", *json)
    assert (said.code, said.err) == (0, WAITING)
    assert (answer_of(said.out)["text"] if json else said.out.strip()) == "Say hi."


def test_report_7_a_pause_after_the_first_bytes_is_reported_too_and_once(
    ask: Ask, pipe: Pipe
) -> None:
    os.write(pipe[1], b"one ")
    ask.write_later(pipe[1], b"two ", b"three")
    said = ask(pipe[0])
    assert (said.code, said.out, said.err) == (0, "one two three\n", WAITING)


def test_report_7_text_that_arrives_at_once_needs_no_line(ask: Ask, pipe: Pipe) -> None:
    os.write(pipe[1], b"This text.\n")
    os.close(pipe[1])
    said = ask(pipe[0], "Repeat.")
    assert (said.code, said.out, said.err) == (0, "Repeat.\n\nThis text.\n\n", "")


def test_report_7_a_pipe_that_does_not_block_is_read_to_its_end(ask: Ask, pipe: Pipe) -> None:
    """Node and other callers pass pipes in non-blocking mode."""
    os.set_blocking(pipe[0], False)
    ask.write_later(pipe[1], b"late")
    said = ask(pipe[0])
    assert (said.code, said.out, said.err) == (0, "late\n", WAITING)


@pytest.mark.parametrize("text", ["", "A text of a file.\n", "long " * 99_999])
def test_report_7_a_file_is_read_to_its_end(text: str, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(text)
    file = os.open(tmp_path / "file", os.O_RDONLY)
    said = ask(file, "Say hi.")
    os.close(file)
    assert (said.code, said.err) == (0, "")
    assert said.out == (f"Say hi.\n\n{text}\n" if text else "Say hi.\n")


def test_report_7_the_null_device_is_empty(ask: Ask) -> None:
    null_device = os.open(os.devnull, os.O_RDONLY)
    said = ask(null_device, "Say hi.")
    os.close(null_device)
    assert (said.code, said.out, said.err) == (0, "Say hi.\n", "")


@pytest.mark.parametrize("json", [(), ("--json",)])
@pytest.mark.parametrize("data", [b"", b"not for ask\n"])
def test_report_7_no_stdin_reads_nothing(
    data: bytes, json: tuple[str, ...], ask: Ask, pipe: Pipe
) -> None:
    os.write(pipe[1], data + b"end")
    said = ask(pipe[0], "Say hi.", "--no-stdin", *json)
    assert (said.code, said.err) == (0, "")
    assert (answer_of(said.out)["text"] if json else said.out.strip()) == "Say hi."
    assert os.read(pipe[0], 100) == data + b"end"


def test_report_7_no_stdin_without_a_question_reports_the_missing_question(
    ask: Ask, pipe: Pipe
) -> None:
    os.write(pipe[1], b"text")
    said = ask(pipe[0], "--no-stdin")
    assert (said.code, said.out) == (2, "")
    assert "there is no question" in said.err and "without --no-stdin" in said.err


@pytest.mark.parametrize("json", [False, True])
def test_report_7_a_stdin_that_cannot_be_read_is_named(
    json: bool, ask: Ask, tmp_path: Path
) -> None:
    """The shell redirection `0> file` has this effect."""
    written = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    said = ask(written, "Say hi.", *["--json"] * json)
    os.close(written)
    assert said.code == 2
    assert said.err == (
        "koel-chat: stdin cannot be read: Bad file descriptor. Pipe a text, or add --no-stdin.\n"
    )
    assert not json or "Bad file descriptor" in answer_of(said.out)["error"]


# Separate processes


@pytest.mark.slow
def test_report_7_the_program_says_within_seconds_that_it_waits(pipe: Pipe) -> None:
    with started(["ask", "Say hi.", *NO_MODEL], pipe[0]) as child:
        assert child.stderr is not None
        assert child.stderr.readline() == WAITING
        os.close(pipe[1])
        assert child.wait(timeout=30) == 66


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
@pytest.mark.slow
def test_report_7_a_signal_while_it_waits_prints_the_object(
    number: signal.Signals, pipe: Pipe
) -> None:
    with started(["ask", "Say hi.", "--json"], pipe[0]) as child:
        assert child.stderr is not None and child.stdout is not None
        assert child.stderr.readline() == WAITING
        child.send_signal(number)
        assert child.wait(timeout=30) == 128 + number
        answer = answer_of(child.stdout.read())
    assert (answer["finish_reason"], answer["error"]) == ("stopped", None)


LOOPS = {
    "file": 'while read -r q; do {}; echo "turn $q"; done < lines.txt',
    "pipe": 'cat lines.txt | while read -r q; do {}; echo "turn $q"; done',
    "here document": 'while read -r q; do {}; echo "turn $q"; done << END\n$(cat lines.txt)\nEND',
    "for": 'exec < lines.txt; for q in one two; do {}; echo "turn $q"; done',
}


def looped(loop: str, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run a loop that asks with each line of a file."""
    (folder / "lines.txt").write_text("one\ntwo\nthree\n")
    ask = " ".join([PROGRAM, "ask", '"$q"', *options, *NO_MODEL])
    return subprocess.run(
        ["bash", "-c", LOOPS[loop].replace("{}", ask)], stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, cwd=folder,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("loop", LOOPS)
def test_report_7_a_loop_keeps_its_lines_with_no_stdin(loop: str, tmp_path: Path) -> None:
    done = looped(loop, tmp_path, "--no-stdin")
    words = ["one", "two"] if loop == "for" else ["one", "two", "three"]
    assert done.stdout.split() == [part for word in words for part in ("turn", word)]
    assert "stdin" not in done.stderr


@pytest.mark.parametrize(
    "loop", [name if name == "file" else pytest.param(name, marks=pytest.mark.slow)
             for name in LOOPS],
)  # fmt: skip
def test_report_7_lines_that_are_read_from_a_loop_are_reported(loop: str, tmp_path: Path) -> None:
    done = looped(loop, tmp_path)
    lines = 3 if loop == "for" else 2
    certain = (
        f"koel-chat: The question includes {lines} lines of stdin, which the calling program "
        "uses, too. If a loop reads the lines, add --no-stdin.\n"
    )
    probable = SCRIPT_NOTICE.replace("2 lines", f"{lines} lines")
    expected = {"file": (certain,), "here document": (certain, probable)}.get(loop, (probable,))
    assert done.stderr.startswith(expected)  # shells use a file or a pipe
    assert done.stderr.count("The question includes") == 1


def test_report_7_a_script_that_passes_its_stdin_on_is_not_called_a_loop(tmp_path: Path) -> None:
    """With `git diff | ./review.sh`, --no-stdin would remove the piped text from the question."""
    script = tmp_path / "review.sh"
    script.write_text(f'#!/bin/sh\n{PROGRAM} ask "Review this." {" ".join(NO_MODEL)}\ntrue\n')
    script.chmod(0o755)
    done = subprocess.run([script], input="one\ntwo\n", capture_output=True, text=True, timeout=60)
    assert done.stderr.startswith(SCRIPT_NOTICE)
    assert "too" not in done.stderr.splitlines()[0]


@pytest.mark.slow
@pytest.mark.parametrize("before", ["", "timeout 30 ", "nice "])
def test_report_7_a_pipeline_is_not_reported_as_a_loop(before: str, tmp_path: Path) -> None:
    done = subprocess.run(
        ["bash", "-c", f"echo text | {before}{PROGRAM} ask hi {' '.join(NO_MODEL)}; true"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert "nowhere.gguf" in done.stderr and "includes" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    ["threads list", "threads search sea", "threads show none", "models list", "config show",
     "models remove none", "models remove none --yes", "completion bash", "--help"],
)  # fmt: skip
def test_report_7_no_other_command_reads_an_open_stdin(words: str, pipe: Pipe) -> None:
    os.write(pipe[1], b"y\n")
    with started(words.split(), pipe[0]) as child:
        child.communicate(timeout=30)
    assert os.read(pipe[0], 10) == b"y\n"
