"""The examples of the library run, and do what they say."""

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


def said_by(example: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{example}.py")],
        capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize("example", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_an_example_does_what_it_says(example: str) -> None:
    said = said_by(example)
    assert [words for words in SAID[example] if words not in said] == []


def test_two_roles_are_written_at_once() -> None:
    names = [line.partition(":")[0].strip() for line in said_by("two_roles").splitlines()]
    assert sum(before != name for before, name in pairwise(names)) > 10
