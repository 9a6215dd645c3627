"""The plain mode in a real terminal with the real model: its output consists of lines."""

import asyncio
import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.e2e.terminal import Terminal
from tests.e2e.threads import saved_texts

SHORT = {"KOEL_TEMPERATURE": "0", "KOEL_MAX_OUTPUT_TOKENS": "12"}
LONG = {"KOEL_TEMPERATURE": "0"}


def prompts(screen: str) -> bool:
    return screen.rstrip().endswith("You:")


@contextmanager
def answering() -> Iterator[Terminal]:
    with Terminal("--plain", environment=LONG) as terminal:
        terminal.until(lambda screen: "The model is ready" in screen and prompts(screen))
        terminal.ask("Tell me a long story about the sea.")
        terminal.until(lambda screen: "Model: " in screen, seconds=60)
        yield terminal


@pytest.mark.timeout(240)
def test_a_thread_is_asked_saved_and_resumed() -> None:
    with Terminal("--plain", environment=SHORT) as terminal:
        terminal.until(lambda screen: "The model is ready" in screen and prompts(screen))
        terminal.ask("Say hello.")
        terminal.until(lambda screen: "Model: " in screen and prompts(screen), seconds=90)
        terminal.type("/quit\r")
        assert terminal.wait() == 0
        assert terminal.restored()
        # The output is lines, plus the sequences for the paste mode and key reports.
        sent = re.sub(rb"\x1b\[(\?2004[hl]|=0u)", b"", terminal.bytes)
        assert b"\x1b" not in sent
    question, answer = asyncio.run(saved_texts())
    assert question == "Say hello." and answer
    with Terminal("--plain", environment=SHORT) as terminal:
        terminal.until(lambda screen: "Say hello., 2 messages." in screen and prompts(screen))
        terminal.type("/read\r")
        terminal.until(lambda screen: "You: Say hello." in screen and answer[:20] in screen)
        terminal.until(prompts)
        terminal.press("up")
        terminal.until(lambda screen: screen.rstrip().endswith("You: /read"))
        terminal.press("up")
        terminal.until(lambda screen: screen.rstrip().endswith("You: Say hello."))
        terminal.press("enter")
        terminal.until(lambda screen: screen.count("Model: ") == 2 and prompts(screen), seconds=90)
        terminal.type("\x04")
        assert terminal.wait() == 0
    assert len(asyncio.run(saved_texts())) == 4


@pytest.mark.timeout(120)
def test_ctrl_c_during_an_answer_keeps_the_part_that_came() -> None:
    with answering() as terminal:
        terminal.press("ctrl+c")
        terminal.until(lambda screen: "stopped. /continue" in screen and prompts(screen))
        terminal.type("half a thought")
        terminal.until(lambda screen: screen.rstrip().endswith("half a thought"))
        terminal.child.kill(signal.SIGTERM)
        assert terminal.wait() == 143
        assert terminal.restored()
    question, answer = asyncio.run(saved_texts())
    assert question == "Tell me a long story about the sea." and answer
    with Terminal("--plain", environment=LONG) as terminal:
        terminal.until(lambda screen: screen.rstrip().endswith("You: half a thought"))
        terminal.press("ctrl+c")
        terminal.until(lambda screen: "Press ctrl+c again to quit." in screen)
        terminal.until(lambda screen: screen.count("You: half a thought") == 2)
        terminal.press("ctrl+c")
        assert terminal.wait() == 130
        assert terminal.restored()


@pytest.mark.timeout(120)
def test_stop_can_be_typed_while_the_answer_comes() -> None:
    with answering() as terminal:
        terminal.type("/stop\r")
        terminal.until(lambda screen: "stopped. /continue" in screen and prompts(screen))
        terminal.type("/quit\r")
        assert terminal.wait() == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    ("columns", "rows", "name", "why"),
    [(80, 24, "dumb", "TERM=dumb"), (40, 10, "xterm", "the window needs 60 by 15")],
)
def test_an_unsuitable_terminal_starts_plain_mode(
    columns: int, rows: int, name: str, why: str
) -> None:
    with Terminal(columns=columns, rows=rows, environment={**SHORT, "TERM": name}) as terminal:
        terminal.until(lambda screen: why in screen and "so the plain" in screen)
        terminal.until(lambda screen: "The model is ready" in screen and prompts(screen))
        terminal.ask("Say hello.")
        terminal.until(lambda screen: "Model: " in screen and prompts(screen), seconds=90)
        terminal.type("/quit\r")
        assert terminal.wait() == 0
        if name == "dumb":
            assert b"\x1b" not in terminal.bytes
