"""A runner killed while it writes a snapshot: the old one stays valid, leftovers are removed."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from koel_tui.agents import Snapshots
from koel_tui.engine.native.context.host_buffer import host_buffer
from koel_tui.engine.native.context.kv_snapshot import Fingerprint, read_snapshot, write_snapshot
from koel_tui.engine.native.context.parked_contexts import ParkedContext
from koel_tui.engine.native.context.prompt_parts import PromptParts
from koel_tui.engine.native.context.sequence_state import SequenceState
from tests.hostile_summary import Tally

MARK = Fingerprint("library", "model", "f16", "")
KILLED = """
import os, signal, sys
from pathlib import Path
from tests.engine.native.context.test_kv_snapshot_leftovers import MARK, parked
from koel_tui.engine.native.context.kv_snapshot import write_snapshot

Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_snapshot(Path(sys.argv[1]), MARK, parked(2), 10**9)
"""


def parked(token: int) -> ParkedContext:
    return ParkedContext(PromptParts([token]), SequenceState(host_buffer(1000)))


def killed_over(path: Path) -> Path:
    """Kill a process while it writes this snapshot; return the file that it leaves."""
    before = set(path.parent.iterdir())
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)])
    assert done.returncode == -signal.SIGKILL
    (left,) = set(path.parent.iterdir()) - before
    assert left.stat().st_mode & 0o077 == 0
    return left


@pytest.fixture
def snapshots(tmp_path: Path) -> Snapshots:
    (tmp_path / "kv").mkdir()
    return Snapshots(tmp_path / "kv")


def test_a_killed_snapshot_write_leaves_the_old_snapshot(
    snapshots: Snapshots, tally: Tally
) -> None:
    path, other = snapshots.path("a thread"), snapshots.path("another")
    write_snapshot(path, MARK, parked(1), 10**9)
    left = killed_over(path)
    kept = read_snapshot(path, MARK)
    assert kept is not None and list(kept.parts) == [1]
    write_snapshot(other, MARK, parked(3), 10**9)
    assert left.exists(), "it may still be being written"
    long_ago = time.time() - 7200
    os.utime(left, (long_ago, long_ago))
    write_snapshot(other, MARK, parked(3), 10**9)
    assert not left.exists() and path.exists()
    tally("engine crash", tried=1)


def test_removing_snapshots_removes_unfinished_files(snapshots: Snapshots, tally: Tally) -> None:
    mine, other = snapshots.path("a thread"), snapshots.path("another")
    left = [killed_over(mine), killed_over(other)]
    snapshots.remove("a thread")
    assert [each.exists() for each in left] == [False, True]
    snapshots.clear()
    assert list(mine.parent.iterdir()) == []
    tally("engine crash", tried=2)
