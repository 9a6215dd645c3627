"""`ask --json` prints its object for a wrong command line, and before a slow shutdown."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from koel_tui.cli.main import run
from tests.cli.asking import answer_of


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("ask", "--json", "--temperature", "hot", "Hi"), "temperature"),
        (("ask", "Hi", "--json", "--threads", "513"), "512"),
        (("ask", "--json", "--made-up", "Hi"), "--made-up"),
        (("ask", "--json", "Hi", "--model"), "--model"),
        (("ask", "--json", "Hi", "there"), "there"),
        (("--max-sessions", "0", "ask", "--json", "Hi"), "--max-sessions"),
        (("--theme", "dark", "ask", "--json", "Hi"), "--theme"),
    ],
)
def test_a_wrong_command_line_is_2_and_one_object_too(
    words: Sequence[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(list(words)) == 2
    said = capsys.readouterr()
    answer = answer_of(said.out)
    assert (answer["text"], answer["finish_reason"], answer["thread"]) == ("", "error", None)
    assert why in answer["error"] and answer["error"] in said.err


@pytest.mark.parametrize(
    "words",
    [
        ("ask", "--temperature", "hot", "Hi"),
        ("ask", "--temperature", "hot", "--", "--json"),
        ("threads", "search", "--limit", "ask", "--json"),
        ("--json", "ask"),
        ("--model",),
    ],
)
def test_a_wrong_command_line_without_the_option_prints_nothing_on_stdout(
    words: Sequence[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(list(words)) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err


HANGING = """
import asyncio, os, signal
from koel_tui.cli import wiring
from koel_tui.cli.main import main
from koel_tui.system import forced_exit
from tests.cli.asking import Playing

class Hanging(Playing):
    async def close(self):
        await asyncio.sleep(60)

def stop(turn):
    turn.write("Half")
    os.kill(os.getpid(), signal.SIGTERM)

forced_exit.EXIT_TIMEOUT = 1.0
wiring.create_model_router = lambda *_: Hanging(stop)
main(["ask", "--json", "Hi"])
"""


def test_a_signal_prints_the_object_before_an_end_that_takes_too_long() -> None:
    done = subprocess.run(
        [sys.executable, "-c", HANGING], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=50, cwd=Path(__file__).parents[2],
        preexec_fn=lambda: signal.signal(signal.SIGTERM, signal.SIG_DFL),
    )  # fmt: skip
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert answer_of(done.stdout)["finish_reason"] == "stopped"
