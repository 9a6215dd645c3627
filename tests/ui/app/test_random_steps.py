"""Tests with random steps: no error, a bounded transcript, and no typed word is lost."""

import asyncio
from pathlib import Path
from random import Random

import pytest
from textual import events
from textual.geometry import Size
from textual.widget import Widget

from koel_tui.ui.keys.key_table import ALL_KEYS
from koel_tui.ui.transcript.mount_window import MAX_MESSAGES, MAX_WIDGETS
from tests.hostile import EVERYTHING
from tests.ui.window import Window, opened

STEPS = 500
LOOK_EVERY = 10
ESTIMATE = 10
"""The number of widgets by which the estimate for the mounted messages may be too low."""
UNTOUCHED = ("quit", "copy_or_quit", "prompt.editor")
"""Keys that close the window or open another program."""
EDITING = (
    "left", "right", "home", "end", "tab", "shift+tab", "ctrl+left", "ctrl+right", "ctrl+a",
    "ctrl+e", "f2", "f12", "insert", "alt+x", "ctrl+b",
)  # fmt: skip
"""Keys of Textual itself, except those that select or delete text."""
OFTEN = ("enter", "enter", "escape", "up", "down", "ctrl+n", "f6", "ctrl+home", "pageup")
SIZES = ((20, 5), (40, 8), (60, 15), (80, 24), (120, 40), (200, 60))
ANSWERS = (
    "short", "# Head\n\ntext *with* [a link](https://example.org) `code`", "- a\n- b\n  - c\n",
    "```python\nx = 1\n```", "| a | b |\n|---|---|\n| 1 | 2 |\n", "word " * 300, "1. x\n" * 30,
    "[/x] [@click=app.quit]", "漢字かな " * 40, EVERYTHING, "", "\n\n", "> q\n" * 10,
)  # fmt: skip


class Fuzz:
    """Takes random steps, and records every typed word."""

    def __init__(self, window: Window, seed: int) -> None:
        self.window = window
        self.random = Random(seed)
        self.keys = [name for key in ALL_KEYS if key.id not in UNTOUCHED for name in key.names]
        self.typed: list[str] = []
        self.trace: list[str] = []
        self.size = SIZES[3]

    def step(self) -> None:
        """Take one random step without waiting for its result."""
        steps = (self.key, self.key, self.key, self.word, self.answer, self.wheel, self.resize)
        weights = (3, 3, 3, 4, 8, 2, 1)
        (chosen,) = self.random.choices(steps, weights)
        self.trace.append(chosen())

    def key(self) -> str:
        keys = self.random.choices((self.keys, EDITING, OFTEN), (5, 1, 3))[0]
        key = self.random.choice(keys)
        self.window.app.post_message(events.Key(key, None))
        return key

    def word(self) -> str:
        """Paste a new word into the prompt, but not into a panel: its field is not a draft."""
        if len(self.window.app.screen_stack) > 1:
            return "no word"
        word = chr(0x4E00 + len(self.typed))  # one character, so that no other input can split it
        self.typed.append(word)
        paste = events.Paste(f" {word} ")
        paste.stop()  # otherwise the app would forward it a second time
        self.window.prompt.post_message(paste)
        return word

    def answer(self) -> str:
        turns = [turn for turn in self.window.agent.turns if not turn.closed.is_set()]
        if not turns:
            return "no turn"
        turn = self.random.choice(turns)
        match self.random.choice(("write", "write", "think", "call", "finish", "finish", "fail")):
            case "write":
                turn.write(self.random.choice(ANSWERS))
            case "finish":
                turn.finish()
            case "fail":
                turn.fail("no luck")
            case _:
                turn.report(phase="reading", fraction=0.5)
        return "answer"

    def wheel(self) -> str:
        width, height = self.size
        x, y = self.random.randrange(width), self.random.randrange(height)
        kind = self.random.choice((events.MouseScrollUp, events.MouseScrollDown))
        self.window.app.post_message(
            kind(None, x, y, 0, 0, 0, False, False, False, screen_x=x, screen_y=y)
        )
        return kind.__name__

    def resize(self) -> str:
        self.size = self.random.choice(SIZES)
        size = Size(*self.size)
        self.window.app.post_message(events.Resize(size, size))
        return str(self.size)

    def kept(self) -> str:
        """Return all texts that may contain a typed word: prompt, drafts, queues, sent messages."""
        app = self.window.app
        pastes = app._pane.prompt.pastes
        texts = [app._pane.prompt.text, *app._pane.prompt._history.texts]
        texts.append(app._pane.prompt._history._draft)
        for conversation in app._workspace.tabs:
            texts += [conversation.draft, *conversation.queue]
            if conversation.message_edit is not None:
                texts.append(conversation.message_edit.draft)
        texts += [closed.draft for closed in app._workspace._closed]
        for turn in self.window.agent.turns:
            texts += [str(message.content) for message in turn.asked.messages]
        return "\n".join(map(pastes.expand, texts))

    def look(self) -> None:
        """Fail if the app has failed, a word is lost, or too many widgets are mounted."""
        trace = self.trace[-60:]
        assert self.window.app.crash is None, trace
        assert self.window.app.is_running, trace
        transcript = self.window.transcript
        views = transcript._views
        assert len(views) <= MAX_MESSAGES, trace
        mounted = sum(1 for _ in transcript.walk_children(Widget))
        assert mounted <= MAX_WIDGETS + ESTIMATE, (mounted, trace)
        kept = self.kept()
        lost = [word for word in self.typed if word not in kept]
        assert not lost, f"lost {lost} by {trace}"


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 8))]
)
async def test_random_keys_pastes_and_sizes_lose_nothing(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the window saves files here
    async with opened() as window:
        fuzz = Fuzz(window, seed)
        for number in range(STEPS):
            fuzz.step()
            await asyncio.sleep(0)
            if number % LOOK_EVERY == 0:
                await window.pilot.pause()
                fuzz.look()
        await window.pilot.pause()
        fuzz.look()
