"""Two windows with one thread: the second is read-only until the first ends."""

import asyncio
import signal

import pytest

from tests.e2e.terminal import Terminal
from tests.e2e.threads import saved_texts
from tests.hostile_summary import Tally

ENVIRONMENT = {"KOEL_TEMPERATURE": "0", "KOEL_MAX_OUTPUT_TOKENS": "5"}
QUESTION = "Say one word."


@pytest.mark.timeout(240)
def test_a_second_window_is_read_only_until_the_first_is_killed(
    tally: Tally,
) -> None:
    with Terminal(environment=ENVIRONMENT) as first:
        first.until(lambda screen: "ctx 0/" in screen)
        first.ask(QUESTION)
        first.until(lambda screen: "⌛" not in screen and "· saved" in screen, seconds=90)
        with Terminal(QUESTION, environment=ENVIRONMENT, columns=120) as second:
            second.until(lambda screen: "can only be read here" in screen)
            second.until(lambda screen: f"(process {first.child.pid})" in screen)
            second.until(lambda screen: "SmolLM2" in screen)
            second.ask("Let me in.")
            second.until(lambda screen: screen.count("Let me in.") == 1 and "⌛" not in screen)
            before = asyncio.run(saved_texts())
            assert before[0] == QUESTION and len(before) == 2
            first.child.kill(signal.SIGKILL)
            assert first.wait() == -signal.SIGKILL
            second.press("ctrl+u")
            second.press("alt+w")
            second.until(lambda screen: "Ask anything" in screen)
            second.press("alt+shift+w")
            second.until(lambda screen: QUESTION in screen and "only be read" not in screen)
            second.press("ctrl+u")
            second.ask("And another.")
            second.until(lambda _: len(asyncio.run(saved_texts())) == 4, seconds=90)
            second.press("ctrl+q")
            assert second.wait() == 0
            assert second.restored()
    after = asyncio.run(saved_texts())
    assert after[:2] == before
    assert after[2].endswith("And another.") and len(after) == 4
    tally("two processes", tried=2)
