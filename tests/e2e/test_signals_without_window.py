"""Signals to `ask` and to the plain mode, and a pipe whose reader has ended."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from koel_tui import paths
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage
from tests.e2e.terminal import PROGRAM, Terminal
from tests.e2e.threads import saved_messages
from tests.hostile_summary import Tally

QUESTION = "Tell me a long story about the sea."
WITHIN = 4.0


@contextmanager
def asking() -> Iterator["subprocess.Popen[bytes]"]:
    """Yield an `ask` process that has begun to write its answer to a saved thread."""
    paths.private_directory(paths.data_dir())
    begun = ChatState(messages=(Message("m", "user", "Hello."), Message("n", "assistant", "Hi.")))
    asyncio.run(JsonFileStorage(paths.private_directory(paths.threads_dir())).save("t", begun))
    with subprocess.Popen(
        [PROGRAM, "ask", "--thread", "t", "--temperature", "0", QUESTION],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ,
    ) as program:  # fmt: skip
        assert program.stdout is not None
        try:
            assert os.read(program.stdout.fileno(), 1)
            yield program
        finally:
            program.kill()


def assert_kept() -> None:
    *_, question, answer = asyncio.run(saved_messages())
    assert question.content == QUESTION
    assert answer.content and answer.interrupted


@pytest.mark.parametrize(
    "name",
    ["SIGTERM", *(pytest.param(name, marks=pytest.mark.slow) for name in ("SIGHUP", "SIGINT"))],
)
def test_a_signal_to_ask_saves_the_partial_answer(name: str, tally: Tally) -> None:
    number = getattr(signal, name)
    with asking() as program:
        begun = time.monotonic()
        program.send_signal(number)
        _, errors = program.communicate(timeout=20)
        assert time.monotonic() - begun < WITHIN
    assert (program.returncode, errors) == (128 + number, b"")
    assert_kept()
    tally("signals", tried=1)


def test_report_24_ask_saves_the_partial_answer_when_stdout_closes(tally: Tally) -> None:
    with asking() as program:
        assert program.stdout is not None and program.stderr is not None
        program.stdout.close()
        errors = program.stderr.read()
        assert (program.wait(20), errors) == (141, b"")
    assert_kept()
    tally("strange terminal", tried=1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("writing", [False, True])
def test_a_signal_ends_plain_mode_and_saves_the_partial_answer(
    name: str, writing: bool, tally: Tally
) -> None:
    with Terminal("--plain", environment={"KOEL_TEMPERATURE": "0"}) as terminal:
        terminal.until(lambda screen: "is ready" in screen and screen.rstrip().endswith("You:"))
        if writing:
            terminal.ask(QUESTION)
            terminal.until(lambda screen: "Model: " in screen, seconds=60)
        begun = time.monotonic()
        terminal.child.kill(getattr(signal, name))
        assert terminal.wait() == 128 + getattr(signal, name)
        assert time.monotonic() - begun < WITHIN
        assert terminal.restored()
    if writing:
        assert_kept()
    tally("signals", tried=1)
