"""A full disk while the program runs in a real terminal."""

import asyncio
import errno
import os
import resource
import subprocess
from pathlib import Path

import psutil
import pytest

from koel_tui import paths
from tests.e2e.terminal import PROGRAM, Terminal
from tests.e2e.threads import saved_texts
from tests.hostile_summary import Tally

ENVIRONMENT = {"KOEL_TEMPERATURE": "0"}
ON_A_SMALL_DISK = 'mount -t tmpfs -o size=1m none "$XDG_DATA_HOME" && exec "$0" "$@"'


def can_mount() -> bool:
    """Return whether this user may mount a file system."""
    try:
        done = subprocess.run(
            ["unshare", "-m", "true"], stdin=subprocess.DEVNULL, capture_output=True
        )
    except OSError:
        return False
    return os.geteuid() == 0 and done.returncode == 0


def fill(folder: Path) -> Path:
    """Fill the disk of a folder; return the file that uses the space."""
    path = folder / "filling"
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 4096)
        except OSError as error:
            assert error.errno == errno.ENOSPC
    return path


@pytest.mark.skipif(not can_mount(), reason="only root may mount a disk that is full")
@pytest.mark.timeout(240)
def test_a_full_disk_loses_nothing(private_home: Path, tally: Tally) -> None:
    data = private_home / "data"
    data.mkdir()
    small = ("unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, PROGRAM)
    with Terminal(environment=ENVIRONMENT, command=small, columns=80, rows=24) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        disk = Path(f"/proc/{terminal.child.pid}/root{data}")
        filling = fill(disk)
        terminal.ask("Tell me a long story about the sea.")
        terminal.until(lambda screen: "NOT SAVED: 'Tell me a long" in screen)
        terminal.until(lambda screen: "No space left on device" in screen)
        filling.unlink()
        terminal.until(lambda screen: "NOT SAVED" not in screen)
        assert len(list((disk / "koel-chat" / "threads").glob("t-*.json"))) == 1
        fill(disk)
        terminal.until(lambda screen: "NOT SAVED" in screen)
        terminal.type("half a draft")
        terminal.until(lambda screen: "half a draft" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait(30) == 74
        assert terminal.restored()
        (path,) = (paths.state_dir() / "recovery").iterdir()
        assert f"koel-chat threads import {path}" in terminal.text.replace("\n", "")
    with Terminal(environment=ENVIRONMENT, columns=80, rows=24) as terminal:
        terminal.until(lambda screen: "Restored unsaved work" in screen)
        terminal.until(lambda screen: "Tell me a long story" in screen and "half a draft" in screen)
        terminal.until(lambda screen: "ctx" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    question, answer = asyncio.run(saved_texts())
    assert question == "Tell me a long story about the sea." and answer
    assert not path.exists()
    tally("full disk", tried=3)


@pytest.mark.timeout(240)
def test_a_file_size_limit_is_reported_and_the_exit_code_is_74(tally: Tally) -> None:
    with Terminal(environment={**ENVIRONMENT, "KOEL_MAX_OUTPUT_TOKENS": "5"}) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        limits = resource.prlimit(int(terminal.child.pid or 0), resource.RLIMIT_FSIZE)
        resource.prlimit(int(terminal.child.pid or 0), resource.RLIMIT_FSIZE, (0, limits[1]))
        terminal.ask("Say hello.")
        terminal.until(lambda screen: "NOT SAVED: 'Say hello.'" in screen)
        terminal.until(lambda screen: "File too large" in screen)
        resource.prlimit(int(terminal.child.pid or 0), resource.RLIMIT_FSIZE, limits)
        terminal.until(lambda screen: "NOT SAVED" not in screen and "· saved" in screen)
        assert asyncio.run(saved_texts())[0] == "Say hello."
        resource.prlimit(int(terminal.child.pid or 0), resource.RLIMIT_FSIZE, (0, limits[1]))
        terminal.ask("Say more.")
        terminal.until(lambda screen: "NOT SAVED" in screen)
        children = psutil.Process(terminal.child.pid).children(recursive=True)
        terminal.press("ctrl+q")
        assert terminal.wait(30) == 74
        assert terminal.restored()
        assert "No recovery file could be written" in terminal.text
        assert not any(child.is_running() for child in children)
    assert asyncio.run(saved_texts())[0] == "Say hello."
    tally("full disk", tried=2)
