"""A closed terminal: the window saves the partial answer and ends without output."""

import asyncio
import time

import psutil
import pytest

from tests.e2e.terminal import Terminal
from tests.e2e.threads import saved_texts
from tests.hostile_summary import Tally


@pytest.mark.timeout(90)
def test_closing_the_terminal_saves_the_answer_and_ends_the_program(tally: Tally) -> None:
    with Terminal(environment={"KOEL_TEMPERATURE": "0"}) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        terminal.ask("Tell me a long story about the sea.")
        terminal.until(lambda screen: "tok/s" in screen)
        window = psutil.Process(terminal.child.pid)
        processes = [window, *window.children(recursive=True)]
        terminal.hang_up()
        end = time.monotonic() + 30
        while any(each.is_running() and each.status() != "zombie" for each in processes):
            assert time.monotonic() < end, "the program lives on without its terminal"
            time.sleep(0.05)
    question, answer = asyncio.run(saved_texts())
    assert question == "Tell me a long story about the sea." and answer
    tally("signals", tried=1)
