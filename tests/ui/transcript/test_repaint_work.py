"""Tests of the cost of repaints during an answer, counted in calls."""

import asyncio
from collections import Counter

import pytest
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets.markdown import MarkdownBlock

from koel_tui.conversation.entries import EntryCache
from koel_tui.ui.transcript.text_column import AnswerMarkdown
from koel_tui.ui.transcript.transcript import Transcript
from tests.ui.window import Window, opened

PIECES = 30
LONG = "\n\n".join(f"Paragraph {number} is about the sea and the wind." for number in range(40))


def count_calls(
    monkeypatch: pytest.MonkeyPatch, counts: Counter[str], owner: type, name: str
) -> None:
    """Count the calls of a method."""
    method = getattr(owner, name)

    def counted(self: object, *arguments: object, **named: object) -> object:
        counts[name] += 1
        return method(self, *arguments, **named)

    monkeypatch.setattr(owner, name, counted)


async def stream(window: Window, counts: Counter[str], text: str) -> None:
    """Stream `text` and then paragraphs, and count the calls after `text`."""
    turn = await window.ask("Go")
    turn.write(text)
    await window.reads("Paragraph 39" if text else "writing")
    await window.pilot.pause(0.3)  # completes the requests of the first text
    counts.clear()
    for number in range(PIECES):
        turn.write(f"\n\nThe wind of day {number} comes from the west, as it does in spring.")
        await window.reads(f"day {number} ")
    turn.finish()


async def test_the_entries_are_built_once_for_each_repaint(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()
    count_calls(monkeypatch, counts, EntryCache, "_build")
    count_calls(monkeypatch, counts, Transcript, "_repaint")
    async with opened() as window:
        turn = await window.ask("Go")
        turn.write("It begins. ")
        await window.reads("It begins.")
        counts.clear()
        for number in range(200):
            turn.write(f"{number}, ")
            await asyncio.sleep(0.005)  # the interval between tokens
        assert 1 < counts["_build"] <= counts["_repaint"] < 200


async def test_a_new_paragraph_takes_one_layout(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: Counter[str] = Counter()
    count_calls(monkeypatch, counts, Screen, "_refresh_layout")
    async with opened() as window:
        await stream(window, counts, LONG)
        assert counts["_refresh_layout"] <= 1.2 * PIECES


async def test_blocks_that_did_not_change_are_not_measured_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts: Counter[str] = Counter()
    method = Widget._resolve_extrema

    def counted(self: Widget, *arguments: object) -> object:
        counts["measured"] += isinstance(self, MarkdownBlock)
        return method(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Widget, "_resolve_extrema", counted)
    async with opened() as window:
        await stream(window, counts, LONG)
        assert len(window.app.query_one(AnswerMarkdown).children) > 40 + PIECES / 2
        assert counts["measured"] <= 4 * PIECES
