"""Tests of random keys and events that arrive faster than the window can process them."""

import asyncio
import random

import pytest
from textual import events

from koel_tui.storage import MemoryStorage
from koel_tui.ui.keys.key_table import ALL_KEYS
from tests.ui.window import Window, messages, opened

CLOSE_PREFIX = {"quit", "copy_or_quit"}
NAMES = [name for key in ALL_KEYS if key.id not in CLOSE_PREFIX for name in key.names]
MANY = ["pageup", "pagedown", "ctrl+home", "ctrl+end", "shift+up", "enter", "escape"] * 3
TEXTS = ["word **b** ", "\n- item" * 20, "\n| a | b |\n|---|---|\n| 1 | 2 |\n", "```\ncode\n"]


def do_something(window: Window, chance: random.Random) -> None:
    """Press a random key, paste a text, or let the agent write or end an answer."""
    what = chance.random()
    if what < 0.25:
        window.app.post_message(events.Paste(chance.choice(["hello", "a\nb", "x" * 300])))
    elif what < 0.85 or not window.agent.turns:
        window.app.post_message(events.Key(chance.choice(NAMES + MANY), None))
    else:
        turn = chance.choice(window.agent.turns[-4:])
        if what < 0.96:
            turn.write(chance.choice(TEXTS))
        elif what < 0.98:
            turn.finish()
        else:
            turn.fail("bad")


async def leave_panels(window: Window) -> None:
    """Press escape until no panel is open and none is about to open.

    Fast keys can open panels on top of each other, up to ten on a slow machine.
    """
    async with asyncio.timeout(60):
        await window.press("escape")
        while len(window.app.screen_stack) > 1 or any(
            not worker.is_finished and worker.group == "default" for worker in window.app.workers
        ):
            await window.press("escape")


@pytest.mark.parametrize("seed", [24, 41])
async def test_random_fast_input_leaves_the_window_usable(seed: int) -> None:
    chance = random.Random(seed)
    storage = MemoryStorage()
    for n, count in enumerate((2, 30, 120)):
        await storage.save(f"t{n}", messages(count, "message {n}\n\n- a\n- b"))
    async with opened(storage=storage) as window:
        for _ in range(150):
            do_something(window, chance)
            if chance.random() < 0.2:
                await asyncio.sleep(0.02)
        await leave_panels(window)
        while window.app._workspace.active.is_busy:
            await window.press("escape")  # the last escape may have closed a panel or an edit
        await window.press("ctrl+end")
        asked = [str(turn.prompt) for turn in window.agent.turns]
        kept = [await storage.load(turn.asked.thread_id) for turn in window.agent.turns]
        for prompt, state in zip(asked, kept, strict=True):
            assert state is not None
            assert prompt in [message.content for message in state.messages]
        turn = await window.ask("Still there?")
        turn.write("Yes, all of it.")
        await window.reads("Yes, all of it.")
