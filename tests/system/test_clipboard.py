"""The ways to a clipboard."""

import base64
import os
import stat
from pathlib import Path

import pytest

from koel_tui.system.clipboard import (
    TERMINAL_METHOD,
    clipboard_command,
    copy_to_clipboard,
    osc52_sequence,
)


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
def test_the_desktops_tool_is_taken_where_the_terminal_is_on_it(
    environment: dict[str, str], platform: str, tool: str
) -> None:
    assert "".join(clipboard_command(environment, platform, every)[:1]) == tool


def test_a_tool_that_is_not_installed_is_not_taken() -> None:
    only_xsel = {"xsel": "/usr/bin/xsel"}
    assert clipboard_command({"DISPLAY": ":0"}, "linux", only_xsel.get)[0] == "xsel"
    assert not clipboard_command({"DISPLAY": ":0"}, "linux", lambda name: None)


def test_tmux_hands_the_sequence_through() -> None:
    plain = osc52_sequence("ä", {})
    assert base64.b64decode(plain.removeprefix("\x1b]52;c;").removesuffix("\x07")) == b"\xc3\xa4"
    assert (
        osc52_sequence("ä", {"TMUX": "x"})
        == "\x1bPtmux;" + plain.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    )


@pytest.mark.parametrize(("script", "way"), [("cat > $OUT", "xclip"), ("exit 1", TERMINAL_METHOD)])
async def test_a_tool_that_fails_leaves_it_to_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, way: str
) -> None:
    tool, out = tmp_path / "xclip", tmp_path / "out"
    tool.write_text(f"#!/bin/sh\nOUT={out}\n{script}\n")
    tool.chmod(tool.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    written: list[str] = []
    assert await copy_to_clipboard("words", {"DISPLAY": ":0"}, written.append) == way
    assert (out.read_text() == "words") if way == "xclip" else (len(written) == 1)
