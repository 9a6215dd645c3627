"""The examples of the library: they run and print the expected output."""

import os
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
SAID = {
    "a_tool": ["assistant: add(", "tool: 42", "It is 42."],
    "background_summary": ["chat: ", "summary: "],
    "encrypted_store": ["on the disk: False", "Nobody reads this.", "with another: "],
    "save_load_resume": ["user: I have a cat", "user: What is my cat called?", "assistant: "],
    "two_dialogues": ["Anna: What is my name?", "Ben: What is my name?", "69 tokens needed no"],
    "two_roles": ["pirate: ", "teacher: "],
    "two_streams": ["Forest (stopped)", "City (length)"],
}


def on_one_processor() -> None:
    """Use one thread, because parallel tests with more would slow each other."""
    os.sched_setaffinity(0, {random.choice([*os.sched_getaffinity(0)])})


@pytest.mark.parametrize("example", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_an_example_prints_the_expected_output(example: str) -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{example}.py")],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=100,
        preexec_fn=on_one_processor if sys.platform == "linux" else None,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert [words for words in SAID[example] if words not in done.stdout] == []
    if example == "two_roles":
        names = [line.partition(":")[0].strip() for line in done.stdout.splitlines()]
        turns = sum(before != name for before, name in pairwise(names))
        assert turns > 10, "they are not written at once"
