"""Tests that untrusted text sends no control characters to the terminal, wherever it is shown."""

import base64
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from textual.widgets import Input, Tooltip

from koel_tui.conversation.backend import Backend
from koel_tui.conversation.drafts import Draft
from koel_tui.logs import SafeFormatter
from koel_tui.protocol import ChatState, Message, ToolCall
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from koel_tui.system import clipboard
from koel_tui.ui.app.app import KoelApp
from koel_tui.workspace.open_tabs import OpenTab
from koel_tui.workspace.prompt_history_file import PromptHistoryFile
from tests.hostile import SEQUENCES
from tests.ui.app.test_restored_tabs import keep
from tests.ui.scripted import ScriptedAgent
from tests.ui.terminal_output import SIZE, Harmless
from tests.ui.window import opened


def whole(text: str) -> Sequence[str]:
    return [text]


def halved(text: str) -> Sequence[str]:
    """Split the text in the middle of every control sequence."""
    deltas = [text]
    for sequence in SEQUENCES:
        middle = len(sequence) // 2
        cut = f"{sequence[:middle]}\0cut\0{sequence[middle:]}"
        deltas = [part for d in deltas for part in d.replace(sequence, cut).split("\0cut\0")]
    assert "".join(deltas) == text
    return deltas


def text_controls(text: str) -> Sequence[str]:
    return list(text)


SHAPES = {
    "paragraph": "{}",
    "heading": "# {}",
    "code": "`{}`",
    "fence": "```\n{}\n```",
    "python": "```python\n# {}\nx = '{}'\n```",
    "language": "```{}\ncode\n```",
    "list": "- {}\n1. {}",
    "quote": "> {}",
    "table": "| {} |\n|---|\n| {} |",
    "link": "[{}](https://example.org/)",
    "address": "[words](https://example.org/{})",
    "image": "![{}](https://example.org/{})",
    "html": "<div>{}</div> <b>{}</b>",
    "entity": "&#27;]0;owned&#7; &#x9b;31m &#x202e; &#xe0041; &#127;",
}


@pytest.mark.parametrize("shape", SHAPES)
async def test_an_answer_is_sanitized_whole_and_in_deltas(
    worst: str, harmless: Harmless, shape: str
) -> None:
    text = SHAPES[shape].replace("{}", worst.replace("\n", ""))
    async with opened(size=SIZE) as window:
        for number, cut in enumerate((whole, halved, text_controls)):
            turn = await window.ask("go")
            for delta in cut(text):
                turn.write(delta)
            turn.write(f"\n\nend {number}")
            await window.sees(f"end {number}")
            harmless(window)
            turn.finish()
            await window.press("alt+c")
            await window.sees("Sent the answer")
            harmless(window.app.clipboard)


async def test_an_answer_shown_as_plain_text_is_sanitized(worst: str, harmless: Harmless) -> None:
    async with opened(size=SIZE) as window:
        turn = await window.ask("go")
        turn.write("long line\n" * 4000)
        for delta in text_controls(worst):
            turn.write(delta)
        turn.write("\nat last")
        turn.finish()
        await window.sees("at last")
        harmless(window)


@pytest.mark.parametrize("cut", [whole, halved, text_controls])
async def test_thinking_tool_calls_and_errors_are_sanitized(
    worst: str, harmless: Harmless, cut: Callable[[str], Sequence[str]]
) -> None:
    async with opened(size=SIZE) as window:
        turn = await window.ask("go")
        turn.think(*cut(worst))
        turn.call(worst, worst, worst)
        turn.measure(model=worst, context_tokens=10)
        await window.sees("▸ thought")
        harmless(window)
        await window.press("ctrl+t")
        await window.sees("▾ thought")
        harmless(window)
        turn.fail(f"badly {worst}")
        await window.sees("badly")
        harmless(window)


async def test_a_saved_thread_is_sanitized_in_every_place(worst: str, harmless: Harmless) -> None:
    storage = MemoryStorage()
    state = ChatState(
        messages=(
            Message("u", "user", f"asked {worst}"),
            Message("o", "tool", f"orphan {worst}", tool_call_id="none"),
            Message(
                "a", "assistant", f"said {worst}", tool_calls=(ToolCall("c", worst, worst),),
                reasoning=worst, interrupted=True,
            ),
        )
    )  # fmt: skip
    await storage.save(worst, state)
    await storage.update_meta(worst, title=f"title {worst}")
    async with opened(size=SIZE, storage=storage, thread=worst) as window:
        await window.sees("said <")
        harmless(window)
        for list_of in ("f4", "ctrl+o"):
            await window.press(list_of)
            await window.sees("esc closes")
            harmless(window)
            await window.type(f"title {worst}")
            await window.until(lambda: "title" in window.app.screen.query_one(Input).value)
            harmless(window)
            await window.press("escape")
            await window.misses("esc closes")
        await window.press("alt+w", "ctrl+o")
        await window.sees("esc closes")
        harmless(window)


async def test_the_links_of_an_answer_are_sanitized(worst: str, harmless: Harmless) -> None:
    text = worst.replace("\n", "")
    async with opened(size=SIZE) as window:
        turn = await window.ask("go")
        turn.write(f"[words {text}](https://example.org/%1b) [good {text}](https://good.example/)")
        turn.finish()
        await window.sees("words")
        await window.press("alt+l")
        await window.sees("good.example")
        harmless(window)
        await window.press("down", "enter")
        await window.sees("The link leads to good.example")
        harmless(window)


class Failing(MemoryStorage):
    """A storage whose errors contain untrusted text."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    async def save(self, thread_id: str, state: ChatState) -> None:
        raise OSError(f"disk {self._words}")

    async def load(self, thread_id: str) -> ChatState | None:
        raise OSError(f"lost {self._words}")


async def test_storage_errors_are_sanitized(worst: str, harmless: Harmless) -> None:
    storage = Failing(worst)
    await MemoryStorage.save(storage, "t", ChatState(messages=(Message("u", "user", "hi"),)))
    async with opened(size=SIZE, storage=storage) as window:
        (await window.ask("x")).finish()
        await window.until(lambda: "NOT SAVED" in window.status)
        harmless(window)
        await window.press("ctrl+o")
        await window.sees("esc closes")
        await window.press("enter")
        await window.sees("The thread cannot be opened: lost")
        harmless(window)


async def test_errors_at_the_start_are_sanitized(worst: str, harmless: Harmless) -> None:
    agent = ScriptedAgent(load_at_once=False)
    async with opened(size=SIZE, agent=agent) as window:
        agent.end_load(RuntimeError(f"file {worst}"))
        await window.sees("No model: file")
        harmless(window)

    def connect() -> Backend:
        raise RuntimeError(f"config {worst}")

    async with opened(size=SIZE, connect=connect, theme=f"theme {worst}") as window:
        await window.sees("Cannot start: config")
        await window.sees("There is no theme")
        harmless(window)


async def test_restored_drafts_and_prompt_history_are_sanitized(
    worst: str, harmless: Harmless, tmp_path: Path
) -> None:
    keep(tmp_path, OpenTab(None, f"title {worst}", Draft(f"draft {worst}")))
    PromptHistoryFile(tmp_path / "history.jsonl").append(Draft(f"sent {worst}"))
    async with opened(size=SIZE, home=tmp_path) as window:
        await window.sees("draft")
        harmless(window)
        await window.press("ctrl+n")
        await window.until(lambda: window.prompt.text == "")
        await window.press("up")
        await window.until(lambda: window.prompt.text.startswith("sent"))
        harmless(window)


async def test_typed_queued_and_returned_text_is_sanitized(worst: str, harmless: Harmless) -> None:
    async with opened(size=SIZE) as window:
        turn = await window.ask(f"first {worst}")
        await window.type(f"second {worst}")
        await window.press("enter")
        await window.sees("queued: second")
        harmless(window)
        turn.fail("stop")
        await window.until(lambda: window.prompt.text.startswith("second"))
        harmless(window)


async def test_text_from_an_editor_is_sanitized(worst: str, harmless: Harmless) -> None:
    async with opened(size=SIZE) as window:
        window.prompt.replace_whole_text(f"edited {worst}")
        await window.sees("edited")
        harmless(window)


async def test_copied_text_is_sanitized_and_sent_in_one_sequence(
    worst: str, harmless: Harmless
) -> None:
    async with opened() as window:
        window.app.copy_to_clipboard(worst)
        harmless(window.app.clipboard)
        sequence = clipboard.osc52_sequence(worst, {})
        begin, encoded, end = sequence[:7], sequence[7:-1], sequence[-1]
        assert (begin, end) == ("\x1b]52;c;", "\x07")
        assert base64.b64decode(encoded, validate=True).decode() == worst


async def test_messages_at_the_end_are_sanitized(worst: str, harmless: Harmless) -> None:
    storage = Failing(worst)
    async with opened(storage=storage) as window:
        (await window.ask(worst)).finish()
        await window.until(lambda: "NOT SAVED" in window.status)
        await window.press("ctrl+q")
        await window.until(lambda: bool(window.app._exit_renderables))
        said = "".join(map(str, window.app._exit_renderables))
        assert "Not saved" in said
        harmless(said)


def test_a_log_line_is_sanitized(worst: str, harmless: Harmless) -> None:
    record = logging.LogRecord("n", logging.INFO, "p", 1, "m %s", (worst + "\ud800",), None)
    line = SafeFormatter("%(message)s").format(record)
    assert line.startswith("m <")
    harmless(line)
    assert "\ud800" not in line


async def test_no_text_of_a_model_is_a_tooltip() -> None:
    """Textual interprets the tooltips of table cells as markup, so tooltips are disabled."""
    agent, storage = ScriptedAgent(), MemoryStorage()
    bare = KoelApp(lambda: Backend(KoelClient(agent, storage=storage), storage, agent))
    async with bare.run_test(tooltips=not bare._disable_tooltips) as pilot:
        await pilot.pause()
        assert not pilot.app.screen.query(Tooltip)
