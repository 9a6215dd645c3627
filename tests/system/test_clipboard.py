"""Copies to the clipboard of the desktop, of tmux and of the terminal."""

import base64
import fcntl
import os
import pty
import select
import shutil
import stat
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from koel_tui.system.clipboard import (
    Copied,
    Destination,
    attached_environment,
    clipboard_commands,
    copy_to_clipboard,
    osc52_sequence,
)

HELLO = base64.b64encode(b"hello").decode()


def every(name: str) -> str | None:
    return f"/usr/bin/{name}"


@pytest.mark.parametrize(
    ("environment", "platform", "tool"),
    [
        ({"WAYLAND_DISPLAY": "w", "DISPLAY": ":0"}, "linux", "wl-copy"),
        ({"DISPLAY": ":0"}, "linux", "xclip"),
        ({}, "linux", ""),
        ({}, "darwin", "pbcopy"),
        ({"DISPLAY": ":0", "SSH_TTY": "/dev/pts/0"}, "linux", ""),
        ({"SSH_CONNECTION": "1 2 3 4"}, "darwin", ""),
    ],
)
def test_the_clipboard_tool_of_the_desktop_is_used_in_a_local_terminal(
    environment: dict[str, str], platform: str, tool: str
) -> None:
    commands = clipboard_commands(environment, platform, every)
    assert (commands[0][0] if commands else "") == tool


def test_a_clipboard_tool_that_is_not_installed_is_not_used() -> None:
    only_xsel = {"xsel": "/usr/bin/xsel"}
    assert clipboard_commands({"DISPLAY": ":0"}, "linux", only_xsel.get)[0][0] == "xsel"
    assert not clipboard_commands({"DISPLAY": ":0"}, "linux", lambda name: None)


@pytest.mark.parametrize(
    ("script", "destination"),
    [("cat > $OUT", Destination.DESKTOP), ("exit 1", Destination.TERMINAL)],
)
async def test_a_tool_that_fails_leaves_it_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, destination: Destination
) -> None:
    out = tmp_path / "out"
    install(tmp_path, monkeypatch, "xclip", f"OUT={out}\n{script}")
    install(tmp_path, monkeypatch, "xsel", "exit 1")
    written: list[str] = []
    copied = await copy_to_clipboard("words", {"DISPLAY": ":0"}, written.append)
    assert copied.destination == destination
    assert (out.read_text() == "words") if copied.program == "xclip" else (len(written) == 1)


async def test_report_06_the_next_tool_is_used_if_the_first_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "wl-copy", "exit 1")
    install(tmp_path, monkeypatch, "xclip", "cat > /dev/null")
    environment = {"WAYLAND_DISPLAY": "gone", "DISPLAY": ":0"}
    written: list[str] = []
    copied = await copy_to_clipboard("words", environment, written.append)
    assert copied == Copied(Destination.DESKTOP, "xclip") and not written


async def test_report_06_text_is_always_copied_with_a_text_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a type, wl-copy offers a Perl script as non-text, and editors paste nothing."""
    out = tmp_path / "out"
    install(tmp_path, monkeypatch, "wl-copy", f'echo "$@" > {out}; cat >> {out}')
    copied = await copy_to_clipboard("#!/usr/bin/perl", {"WAYLAND_DISPLAY": "w"}, print)
    assert copied == Copied(Destination.DESKTOP, "wl-copy")
    assert out.read_text() == "--type text/plain\n#!/usr/bin/perl"


@pytest.mark.parametrize("variable", ["LANG", "LC_ALL"])
async def test_report_06_pbcopy_reads_utf_8_in_every_locale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """pbcopy decodes its input by the locale: without UTF-8, é would be copied as √©."""
    out = tmp_path / "out"
    install(tmp_path, monkeypatch, "pbcopy", f'echo "$LC_ALL" > {out}; cat >> {out}')
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(clipboard_commands, "__defaults__", ("darwin", shutil.which))
    copied = await copy_to_clipboard("é", {variable: "C", "PATH": os.environ["PATH"]}, print)
    assert copied == Copied(Destination.DESKTOP, "pbcopy")
    assert out.read_text() == "en_US.UTF-8\né"


@pytest.mark.slow
async def test_report_06_a_tool_that_stays_in_the_foreground_is_not_reported_as_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(tmp_path, monkeypatch, "xclip", "exec sleep 60")
    install(tmp_path, monkeypatch, "xsel", "exit 1")
    written: list[str] = []
    copied = await copy_to_clipboard("words", {"DISPLAY": ":0"}, written.append)
    assert copied == Copied(Destination.TERMINAL) and len(written) == 1


@pytest.mark.parametrize(("size", "is_large"), [(74_994, False), (74_995, True)])
async def test_report_06_text_that_some_terminals_ignore_is_marked(
    size: int, is_large: bool
) -> None:
    written: list[str] = []
    copied = await copy_to_clipboard("x" * size, {"TERM": "xterm"}, written.append)
    assert copied == Copied(Destination.TERMINAL, is_large=is_large)
    assert (len(written[0]) > 100_000) == is_large


def install(directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Install a shell script as the first program of this name in PATH."""
    program = directory / name
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")


# tmux


class Tmux:
    """A real tmux with a client in a pseudo-terminal; use it as a context manager."""

    def __init__(self, directory: Path, configuration: str, term: str) -> None:
        self._socket = directory / "socket"
        self._file = directory / "tmux.conf"
        self._file.write_text(configuration)
        self._term = term

    def __enter__(self) -> "Tmux":
        environment = {
            name: value for name, value in os.environ.items() if name not in ("TMUX", "TMUX_PANE")
        }
        self.child, self.terminal = pty.fork()
        if self.child == 0:
            arguments = [
                "tmux",
                "-S",
                str(self._socket),
                "-f",
                str(self._file),
                "new-session",
                "cat",
            ]
            os.execvpe("tmux", arguments, {**environment, "TERM": self._term})  # noqa: S606
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        end = time.monotonic() + 10
        while not (answer := self.run("list-panes", "-a", "-F", "#{pid} #{pane_id} #{pane_tty}")):
            assert time.monotonic() < end, "tmux did not start"
            self.output()
        process, self.pane, self.pane_terminal = answer.split()
        while not self.run("list-clients"):
            assert time.monotonic() < end, "tmux has no client"
            self.output()
        self.environment = {
            "TMUX": f"{self._socket},{process},0", "TMUX_PANE": self.pane, "TERM": "screen",
        }  # fmt: skip
        self.output(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        self.run("kill-server")
        os.close(self.terminal)
        os.waitpid(self.child, 0)

    def run(self, *arguments: str) -> str:
        command = ["tmux", "-S", str(self._socket), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return done.stdout

    def write(self, sequence: str) -> None:
        """Write to the terminal of the pane, as a program in the pane does."""
        with Path(self.pane_terminal).open("w") as pane:
            pane.write(sequence)

    def output(self, seconds: float = 0.05) -> bytes:
        """Return the bytes that tmux writes to its terminal within `seconds`."""
        end, output = time.monotonic() + seconds, b""
        while (left := end - time.monotonic()) > 0:
            if select.select([self.terminal], [], [], left)[0]:
                output += os.read(self.terminal, 65536)
        return output

    def sends(self, text: str) -> bool:
        """Return whether tmux writes `text` to its terminal."""
        end, output = time.monotonic() + 5, b""
        while text.encode() not in output and time.monotonic() < end:
            output += self.output()
        return text.encode() in output


needs_tmux = pytest.mark.skipif(not shutil.which("tmux"), reason="needs tmux")


@needs_tmux
@pytest.mark.parametrize("passthrough", ["on", "off"])
@pytest.mark.parametrize("setting", ["on", "external", "off"])
async def test_report_06_tmux_has_the_text_and_sends_it_to_its_terminal(
    tmp_path: Path, setting: str, passthrough: str
) -> None:
    options = f"set -g set-clipboard {setting}\nset -g allow-passthrough {passthrough}\n"
    with Tmux(tmp_path, options, "xterm-256color") as tmux:
        copied = await copy_to_clipboard("hello", tmux.environment, tmux.write)
        assert copied == Copied(Destination.TMUX_AND_TERMINAL)
        assert tmux.run("show-buffer") == "hello"
        assert tmux.sends(HELLO)


@needs_tmux
async def test_report_06_tmux_without_a_clipboard_of_its_terminal_has_the_text_only(
    tmp_path: Path,
) -> None:
    with Tmux(tmp_path, "set -g set-clipboard off\n", "linux") as tmux:
        copied = await copy_to_clipboard("hello", tmux.environment, tmux.write)
        assert copied == Copied(Destination.TMUX)
        assert tmux.run("show-buffer") == "hello"
        assert b"]52;" not in tmux.output(0.3)


@needs_tmux
async def test_report_06_the_advice_for_a_terminal_unknown_to_tmux_works(tmp_path: Path) -> None:
    with Tmux(tmp_path, "set -as terminal-features ',*:clipboard'\n", "linux") as tmux:
        copied = await copy_to_clipboard("hello", tmux.environment, tmux.write)
        assert copied == Copied(Destination.TMUX_AND_TERMINAL)
        assert tmux.sends(HELLO)


@needs_tmux
async def test_report_06_the_terminal_that_is_attached_to_tmux_now_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a desktop session that is attached over ssh, xclip would copy to the wrong computer."""
    install(tmp_path, monkeypatch, "xclip", "cat > /dev/null")
    with Tmux(tmp_path, "", "xterm-256color") as tmux:
        environment = {**tmux.environment, "DISPLAY": ":0"}
        tmux.run("set-environment", "DISPLAY", ":0")
        copied = await copy_to_clipboard("hello", environment, tmux.write)
        assert copied == Copied(Destination.DESKTOP, "xclip")
        tmux.run("set-environment", "SSH_CONNECTION", "1 2 3 4")
        copied = await copy_to_clipboard("hello", environment, tmux.write)
        assert copied == Copied(Destination.TMUX_AND_TERMINAL)


def test_report_06_variables_of_the_attached_terminal_replace_those_of_the_first_one() -> None:
    old = {"SSH_CONNECTION": "1", "SSH_TTY": "/dev/pts/1", "DISPLAY": ":1", "HOME": "/h"}
    session = "-SSH_CONNECTION\nDISPLAY=:0\nHOME=/other\n-XAUTHORITY\n"
    assert attached_environment(old, session) == {"DISPLAY": ":0", "HOME": "/h"}
    assert attached_environment(old, "") == old


async def test_report_06_a_tmux_that_cannot_be_reached_leaves_it_to_the_terminal() -> None:
    """tmux is unreachable in a container or as another user. Versions before 3.2 cannot copy."""
    written: list[str] = []
    environment = {"TMUX": "/nonexistent/socket,1,0"}
    copied = await copy_to_clipboard("hello", environment, written.append)
    assert copied == Copied(Destination.TERMINAL)
    assert written == [osc52_sequence("hello", environment)]


@needs_tmux
@pytest.mark.parametrize(
    "options",
    ["set -g set-clipboard on", "set -g set-clipboard off\nset -g allow-passthrough on"],
)
def test_report_06_the_sequence_for_tmux_needs_one_of_two_settings(
    tmp_path: Path, options: str
) -> None:
    """Over ssh, only TERM reveals tmux, and the `tmux` command is not available."""
    sequence = osc52_sequence("hello", {"TERM": "tmux-256color", "SSH_TTY": "/dev/pts/1"})
    with Tmux(tmp_path, f"{options}\n", "xterm-256color") as tmux:
        tmux.write(sequence)
        assert tmux.sends(HELLO)


# GNU screen and terminals


@pytest.mark.parametrize(
    "environment",
    [
        {"STY": "1.pts-0.host", "TERM": "screen"},
        {"TERM": "screen.xterm-256color", "SSH_TTY": "/dev/pts/1"},
    ],
)
def test_report_06_gnu_screen_gets_short_strings_that_it_passes_on(
    environment: dict[str, str],
) -> None:
    text = "ä" * 1000
    sequence = osc52_sequence(text, environment)
    strings = sequence.split("\x1b\\")
    assert strings.pop() == ""
    assert all(each.startswith("\x1bP") and len(each) <= 256 for each in strings)
    joined = "".join(each.removeprefix("\x1bP") for each in strings)
    assert joined == osc52_sequence(text, {})


@pytest.mark.parametrize("term", ["xterm-256color", "screen", "screen-256color", "foot", ""])
def test_report_06_other_terminals_get_the_plain_sequence(term: str) -> None:
    environment = {"TERM": term, "SSH_CONNECTION": "1 2 3 4"}
    assert osc52_sequence("hello", environment) == f"\x1b]52;c;{HELLO}\x07"


async def test_report_06_a_terminal_without_a_clipboard_gets_nothing() -> None:
    written: list[str] = []
    copied = await copy_to_clipboard("hello", {"TERM": "linux"}, written.append)
    assert copied == Copied(Destination.NOWHERE) and not written
