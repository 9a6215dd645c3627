"""Common tasks of a new user in a window of 80 by 24, with keys only and the real model.

Each numbered comment is a task; the code below it presses keys and checks the screen.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage
from tests.e2e.terminal import Terminal

ENVIRONMENT = {"KOEL_TEMPERATURE": "0.8", "KOEL_SEED": "7", "KOEL_MAX_OUTPUT_TOKENS": "24"}
LONG = {**ENVIRONMENT, "KOEL_MAX_OUTPUT_TOKENS": "2000"}
TIMEOUT_S = 60.0
_QUIET = 0.6


class Walk:
    """A user at the keyboard of a terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal

    def press(self, *keys: str, sees: str, misses: str = "") -> None:
        """Press keys and wait until one text is on the screen and another is not."""
        self.terminal.press(*keys)
        self.sees(sees, misses)

    def type(self, text: str, sees: str = "") -> None:
        """Type `text`, and wait until the screen shows it, or `sees` if that is given."""
        self.terminal.type(text)
        self.sees(sees or text[-20:])

    def sees(self, text: str, misses: str = "") -> None:
        self.until(lambda screen: text in screen and not (misses and misses in screen))

    def until(self, holds: Callable[[str], object]) -> None:
        self.terminal.until(holds, TIMEOUT_S)

    def ask(self, text: str) -> None:
        """Send a question, and wait until the answer is complete."""
        self.type(text)
        self.terminal.press("enter")
        self.answered()

    def answered(self) -> None:
        """Wait until the screen has shown a complete answer for a moment."""
        since: list[float] = []

        def quiet(screen: str) -> bool:
            if "tok/s · saved" not in screen or "⌛" in screen:
                since.clear()
            else:
                since.append(time.monotonic())
            return bool(since) and since[-1] - since[0] > _QUIET

        self.until(quiet)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "notes.txt").write_text("The harbour master is called Ada.\n")
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.timeout(300)
def test_conversations_are_steered_by_keys_alone() -> None:
    with Terminal(columns=80, rows=24, environment=ENVIRONMENT) as terminal:
        walk = Walk(terminal)
        walk.sees("ctx 0/")
        # 1 Show the list of keys.
        walk.press("f1", sees="─ Keys ─")
        walk.press("escape", sees="Ask anything", misses="─ Keys ─")
        # 2 Ask a question.
        walk.ask("Name a tree of the north.")
        # 3 Regenerate the answer; the first one is kept.
        walk.press("ctrl+r", sees="‹2/2›")
        walk.answered()
        # 4 Show the first answer again.
        walk.press("alt+left", sees="‹1/2›", misses="‹2/2›")
        # 5 Edit the question.
        walk.press("alt+e", sees="editing your message")
        walk.type(" In one word.")
        walk.press("enter", sees="‹2/2›", misses="editing your message")
        walk.answered()
        # 6 Return to the original question.
        walk.press("alt+left", sees="‹1/2›", misses="In one word")
        # 7 Give the thread a title and a role.
        walk.press("f2", sees="─ This thread ─")
        walk.type("Trees")
        walk.press("shift+tab", sees="─ This thread ─")
        walk.type("You are a forester.")
        terminal.press("tab")
        walk.press("enter", sees="1 Trees", misses="─ This thread ─")
        # 8 Show the context usage and the speed.
        walk.press("f3", sees="─ Statistics ─")
        walk.press("escape", sees="1 Trees", misses="─ Statistics ─")
        # 9 Attach a file.
        walk.type("Who is in ")
        walk.type("@notes", sees="enter attaches")
        walk.press("enter", sees="[notes.txt ·", misses="enter attaches")
        terminal.press("enter")
        walk.answered()
        # 10 Branch the thread into a new one.
        walk.press("alt+n", sees="2 Trees (branch)")
        # 11 Show two threads side by side.
        walk.press("alt+s", sees="─ Side by side ─")
        walk.press("enter", sees="3 New thread", misses="─ Side by side ─")
        walk.ask("Say hello.")
        walk.until(lambda screen: screen.count("Say hello.") >= 2)
        # 12 Swap them, then show only one.
        walk.press("alt+x", sees="Say hello.")
        walk.press("alt+s", sees="Say hello.")
        # 13 Close a tab and reopen it.
        walk.press("alt+w", sees="2 Trees (branch)", misses="3 Say")
        walk.press("alt+shift+w", sees="3 Say hello.")
        # 14 Start a new thread with a summary.
        walk.press("alt+shift+s", sees="What we talked about before", misses="summarising")
        # 15 Find a command in the palette.
        walk.press("ctrl+p", sees="Search for commands")
        walk.type("Close tab", sees="(it stays saved)")
        walk.press("escape", sees="What we talked", misses="(it stays saved)")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
        assert terminal.restored()


@pytest.mark.timeout(240)
def test_a_long_answer_is_stopped_and_continued_and_the_queue_is_sent_after_it() -> None:
    with Terminal(columns=80, rows=24, environment=LONG) as terminal:
        walk = Walk(terminal)
        walk.sees("ctx 0/")
        walk.type("Write a very long story about the sea.")
        walk.press("enter", sees="writing")
        # 16 Queue two messages during the answer, and delete one.
        walk.type("And then?")
        walk.press("enter", sees="queued: And then?")
        walk.type("And why?")
        walk.press("enter", sees="queued: And why?")
        walk.press("alt+q", sees="│ And then?")
        walk.press("delete", sees="Queued messages", misses="queued: And then?")
        walk.press("escape", sees="queued: And why?", misses="Queued messages")
        # 17 Stop the answer; the queued message returns to the prompt.
        walk.press("escape", sees="alt+g continues the answer", misses="queued")
        walk.sees("│ And why?")
        # 18 Continue the answer.
        walk.press("alt+g", sees="writing", misses="continues the answer")
        walk.press("escape", sees="alt+g continues the answer")
        # 19 Copy the partial answer.
        walk.press("alt+c", sees="Sent the answer")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0


async def _saved(count: int) -> None:
    paths.private_directory(paths.data_dir())
    storage = JsonFileStorage(paths.private_directory(paths.threads_dir()))
    for number in range(count):
        said = (
            Message(f"u{number}", "user", f"Tell me of place {number}."),
            Message(
                f"a{number}", "assistant", f"Place {number} has a lighthouse of {number} floors."
            ),
        )
        await storage.save(f"t{number}", ChatState(messages=said))
        await storage.update_meta(f"t{number}", title=f"Place {number}")


@pytest.mark.timeout(240)
def test_threads_are_found_renamed_deleted_and_exported(here: Path) -> None:
    asyncio.run(_saved(12))
    with Terminal(columns=80, rows=24, environment=ENVIRONMENT) as terminal:
        walk = Walk(terminal)
        walk.sees("ctx 0/")
        # 20 Find a thread by its text, and open it at that text.
        walk.press("ctrl+o", sees="─ Saved threads ─")
        walk.type("lighthouse 7", sees="in the text")
        walk.press("enter", sees="lighthouse of 7 floors", misses="─ Saved threads ─")
        # 21 Rename another thread.
        walk.press("ctrl+o", sees="Place 11")
        walk.press("f2", sees="─ Rename ─")
        terminal.press("ctrl+u")
        walk.type("The best place")
        walk.press("enter", sees="The best place", misses="Place 11")
        # 22 Delete a thread, and undo that.
        walk.press("down", "ctrl+d", sees="ctrl+z undo", misses="Place 10 ")
        walk.press("ctrl+z", sees="Place 10 ")
        # 23 Export a thread to a file.
        walk.press("ctrl+s", sees="Markdown")
        walk.press("enter", sees="Save as")
        terminal.press("enter")
        walk.until(lambda _: list(here.glob("*.md")))
        walk.press("escape", sees="1 Place 7", misses="─ Saved threads ─")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0


@pytest.mark.timeout(240)
def test_ten_tabs_are_restored_and_one_is_continued() -> None:
    asyncio.run(_saved(10))
    with Terminal(columns=80, rows=24, environment=ENVIRONMENT) as terminal:
        walk = Walk(terminal)
        walk.sees("ctx 0/")
        for number in range(10):
            walk.press("ctrl+o", sees="─ Saved threads ─")
            walk.type(f"Place {number}")
            walk.press("enter", sees=f"lighthouse of {number} floors", misses="─ Saved threads")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    with Terminal(columns=80, rows=24, environment=ENVIRONMENT) as terminal:
        walk = Walk(terminal)
        walk.sees("lighthouse of 9 floors")
        walk.press("alt+1", sees="lighthouse of 0 floors")
        walk.sees("ctx 0/")
        # 24 Continue one of ten restored threads.
        walk.ask("How many floors has it?")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0


@pytest.mark.timeout(120)
def test_side_by_side_answers_are_written_in_parallel_when_allowed() -> None:
    with Terminal(columns=80, rows=24, environment={**LONG, "KOEL_PARALLEL": "2"}) as terminal:
        walk = Walk(terminal)
        walk.sees("ctx 0/")
        walk.press("alt+s", sees="2 New thread")
        walk.type("Write a very long story about the sea.")
        terminal.press("enter")
        walk.until(lambda _: terminal.label_row.count("⌛") == 2)
        walk.press("escape", sees="alt+g continues the answer", misses="⌛")
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
