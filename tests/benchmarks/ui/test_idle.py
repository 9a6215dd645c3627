"""The CPU time of the window while it is idle or only another tab works. Run alone."""

import asyncio
from pathlib import Path

import pytest

from koel_tui.storage import JsonFileStorage
from tests.benchmarks.report import line, share
from tests.benchmarks.ui.answers import FIRST_WORD, history, last_text
from tests.benchmarks.ui.outside import ENTER, LETTERS, Outside, module

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]
MESSAGES = 100
SETTLED = 3.0
IDLE = 10.0
STREAMED = 8.0
FOCUS = "\x1b[O", "\x1b[I"
F2 = "\x1bOQ"


@pytest.fixture
def threads(tmp_path: Path) -> Path:
    asyncio.run(JsonFileStorage(tmp_path).save("long", history(MESSAGES)))
    return tmp_path


def window(threads: Path) -> Outside:
    """Open the thread and wait until the window is idle."""
    program = Outside(module("program", threads, 25, "long"))
    program.see(last_text(MESSAGES))
    program.watch(SETTLED)
    return program


def minimal() -> Outside:
    """Open the minimal program with the same number of messages."""
    program = Outside(module("reference", "none", 1, MESSAGES))
    program.see("Ask anything.")
    program.watch(SETTLED)
    program.send(F2)
    program.see(last_text(MESSAGES))
    program.watch(SETTLED)
    return program


def idle(program: Outside) -> float:
    """Return the CPU use of the program, in percent of one core."""
    with program:
        before = program.cpu_s
        program.watch(IDLE)
        return (program.cpu_s - before) / IDLE * 100


def test_an_idle_window_compared_with_the_minimal_program(threads: Path) -> None:
    ours, reference = idle(window(threads)), idle(minimal())
    print()
    print(line("idle", ours, reference, "% CPU", "minimal program", "0.5 %"))


def focus_change(program: Outside) -> tuple[float, float]:
    """Return the CPU time of one change of the focus and the latency of a key right after, in ms.

    The letter is sent together with the focus change, so it is seen after the change is handled.
    """
    latencies = []
    with program:
        before = program.cpu_s
        for index, letter in enumerate(LETTERS[:20]):
            begin = program.send(FOCUS[index % 2] + letter)
            latencies.append((program.see(letter) - begin) * 1e3)
            program.watch(0.1)
        cpu = (program.cpu_s - before) / len(latencies) * 1e3
    return cpu, share(latencies, 0.5)


def test_focus_of_the_terminal(threads: Path) -> None:
    ours, reference = focus_change(window(threads)), focus_change(minimal())
    print()
    against = "minimal program"
    for what, index in ((", CPU with the key's", 0), (" until a key after it is seen", 1)):
        print(line(f"focus in or out{what}", ours[index], reference[index], "ms", against, "20 ms"))


def bytes_a_second(threads: Path, columns: int, rows: int, *options: str) -> float:
    """Return the bytes per second that a window writes to the terminal at the end of a thread."""
    command = module("program", threads, 25, "long", *options)
    with Outside(command, columns, rows) as program:
        program.see(last_text(MESSAGES))
        program.watch(SETTLED)
        program.send("Tell" + ENTER)
        program.see(FIRST_WORD)
        program.watch(1)
        before = program.written
        program.watch(STREAMED)
        return (program.written - before) / STREAMED


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40)])
def test_low_bandwidth_reduces_the_bytes_to_the_terminal(
    threads: Path, columns: int, rows: int
) -> None:
    usual = bytes_a_second(threads, columns, rows)
    sparing = bytes_a_second(threads, columns, rows, "--low-bandwidth")
    what = f"written with --low-bandwidth, 25 tokens/s, {columns} by {rows}"
    print()
    print(line(what, sparing, usual, "bytes/s", "without", "ratio 0.4"))
    assert sparing <= 0.4 * usual
