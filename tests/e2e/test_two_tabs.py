"""Two tabs with the real model: asked, saved, quit and restored."""

import json
from pathlib import Path

import psutil
import pytest

from koel_tui import paths
from tests.e2e.terminal import Terminal

FIRST = "I have a cat called Mila. Tell me a long story about her."
SECOND = "Name three colours."
FOLLOW_UP = "What is my cat called?"


def saved() -> dict[str, list[dict[str, str]]]:
    """Return the saved messages by the first question of their thread."""
    threads = {}
    for path in paths.threads_dir().glob("t-*.json"):
        messages = json.loads(path.read_bytes())["state"]["messages"]
        threads[messages[0]["content"]] = messages
    return threads


def maps(process: psutil.Process) -> str:
    return Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.timeout(240)
def test_two_tabs_answered_saved_and_resumed() -> None:
    environment = {"KOEL_TEMPERATURE": "0", "KOEL_MAX_OUTPUT_TOKENS": "200"}
    with Terminal(environment=environment) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen)
        window = psutil.Process(terminal.child.pid)
        (runner,) = window.children()
        assert "libllama" in maps(runner)
        assert "libllama" not in maps(window), "the window's process has loaded llama.cpp"

        terminal.ask(FIRST)
        terminal.until(lambda _: "⌛" in terminal.label_row)
        terminal.press("ctrl+n")
        terminal.ask(SECOND)
        terminal.until(lambda _: "⌛" in terminal.label_row and "queued" in terminal.label_row)
        terminal.until(
            lambda screen: "⌛" not in screen and "queued" not in screen and "· saved" in screen,
            seconds=90,
        )
        terminal.press("alt+1")
        terminal.until(lambda screen: "Mila" in screen)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()
    assert not runner.is_running()

    threads = saved()
    assert set(threads) == {FIRST, SECOND}
    for messages in threads.values():
        assert [message["role"] for message in messages] == ["user", "assistant"]
    story, colours = threads[FIRST][1]["content"], threads[SECOND][1]["content"]
    assert "Mila" in story and "Mila" not in colours
    assert len(story) > 400, "the first tab had ended before the second asked"

    with Terminal(FIRST, environment=environment) as terminal:
        tail = story.split()[-1]
        terminal.until(lambda screen: tail in screen and "· saved" in screen and "/8.2k" in screen)
        assert "ctx 0/" not in terminal.text, "what the thread takes of the window is forgotten"
        terminal.ask(FOLLOW_UP)
        terminal.until(lambda _: "⌛" in terminal.label_row)
        terminal.until(lambda screen: "⌛" not in screen and "· saved" in screen, seconds=90)
        assert "Mila" in terminal.text.rsplit(FOLLOW_UP, 1)[1]
        terminal.press("ctrl+q")
        assert terminal.wait() == 0

    messages = saved()[FIRST]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 2
    assert messages[1]["content"] == story
    assert "Mila" in messages[3]["content"]
