"""Sampling options that are set by keys in a real terminal, with the real model."""

import json
from typing import Any

import psutil
import pytest

from koel_tui import paths
from tests.e2e.terminal import Terminal

SHORT = {"KOEL_TEMPERATURE": "0", "KOEL_MAX_OUTPUT_TOKENS": "8"}


def answered(screen: str) -> bool:
    # The welcome text also contains the word "saved".
    return "· saved" in screen and "⌛" not in screen and "queued" not in screen


def stored() -> dict[str, dict[str, Any]]:
    """Return the sampling options of each saved and answered thread, by its question."""
    found = {}
    for path in paths.threads_dir().glob("t-*.json"):
        thread = json.loads(path.read_bytes())
        question, answer = thread["state"]["messages"]
        assert answer["role"] == "assistant" and answer["content"], answer
        found[question["content"]] = thread["meta"].get("sampling", {})
    return found


@pytest.mark.timeout(240)
def test_b1_a_repeat_penalty_set_by_keys_is_used_and_every_tab_keeps_its_engine() -> None:
    with Terminal(environment=SHORT) as terminal:
        terminal.until(lambda screen: "ctx 0/" in screen, seconds=60)
        (runner,) = psutil.Process(terminal.child.pid).children()

        terminal.press("f2")
        terminal.until(lambda screen: "Title: shown in the tab and in lists." in screen)
        terminal.press(*["down"] * 5)
        terminal.until(lambda screen: "Repeat penalty: 1.1 reduces repetition" in screen)
        terminal.type("1.3")
        terminal.until(lambda screen: "Repeat penalty       1.3" in screen)
        terminal.press("enter")
        terminal.until(lambda screen: "This thread" not in screen)
        terminal.ask("Say hello.")
        terminal.until(answered, seconds=90)
        assert "✗" not in terminal.text

        terminal.press("ctrl+n")
        terminal.until(lambda screen: "ctx 0/" in screen)
        terminal.ask("Name a colour.")
        terminal.until(lambda _: "Name a colour." in terminal.label_row)
        terminal.until(answered, seconds=90)
        assert "✗" not in terminal.text
        assert psutil.Process(terminal.child.pid).children() == [runner]
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    assert stored() == {"Say hello.": {"repeat_penalty": 1.3}, "Name a colour.": {}}
