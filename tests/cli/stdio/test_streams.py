"""Standard streams that are closed or whose reader has ended."""

import subprocess
import sys
from pathlib import Path

import pytest

FULL = Path("/dev/full")
ENDS = """
import sys
from koel_tui.cli.stdio.streams import flush_standard_streams
sys.stdout = open(1, "w", closefd=False)
print("what nobody can take")
sys.exit(0 if flush_standard_streams() else 7)
"""


@pytest.mark.skipif(not FULL.exists(), reason="this system has no file that is always full")
def test_output_that_cannot_be_written_at_the_end_does_not_change_the_exit_code() -> None:
    with FULL.open("w") as nobody:
        done = subprocess.run([sys.executable, "-c", ENDS], stdout=nobody, check=False)
    assert done.returncode == 7


def test_pending_output_is_written_at_the_end() -> None:
    done = subprocess.run([sys.executable, "-c", ENDS], stdout=subprocess.PIPE, check=False)
    assert (done.returncode, done.stdout) == (0, b"what nobody can take\n")
