"""The time to the first paint, compared with the minimal Textual program. Run alone."""

import sys
import time
from pathlib import Path

import pexpect
import psutil
import pytest

from tests.benchmarks.report import line, median

pytestmark = pytest.mark.benchmark
ROUNDS = 9
MINIMAL = [sys.executable, str(Path(__file__).with_name("minimal_chat.py"))]
KOEL = [str(Path(sys.executable).with_name("koel-chat"))]


def paint(command: list[str], marker: str) -> tuple[float, float]:
    """Return the seconds until `marker` is painted, and the memory in MB two seconds later."""
    begin = time.perf_counter()
    child = pexpect.spawn(command[0], command[1:], dimensions=(40, 120), timeout=20)
    child.delaybeforesend = None
    child.expect_exact(marker)
    painted = time.perf_counter() - begin
    settled = time.perf_counter() + 2
    while time.perf_counter() < settled:
        try:
            child.read_nonblocking(65536, timeout=0.1)
        except pexpect.TIMEOUT:
            continue
    memory = psutil.Process(child.pid).memory_info().rss / 1e6
    child.close(force=True)
    return painted, memory


def test_first_paint_compared_with_the_minimal_program() -> None:
    paint(MINIMAL, "Ask anything.")  # warms the file cache for both
    paint(KOEL, "Ask anything.")
    ours, reference = [], []
    for _ in range(ROUNDS):
        reference.append(paint(MINIMAL, "Ask anything."))
        ours.append(paint(KOEL, "Ask anything."))
    print()
    print(
        line(
            "first paint",
            median([seconds for seconds, _ in ours]),
            median([seconds for seconds, _ in reference]),
            "s",
            "minimal Textual program",
        )
    )
    print(f"memory of the window's process with the model loaded: {ours[-1][1]:.0f} MB")
