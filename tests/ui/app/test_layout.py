"""Tests that the window fits terminals from 120 by 40 down to 60 by 15."""

from itertools import pairwise

import pytest
from rich.cells import cell_len
from textual.widgets import Footer, Tabs

from koel_tui.ui.app.status_line import StatusLine
from tests.ui.window import Window, opened

SIZES = [(120, 40), (80, 24), (60, 15)]
WIDE = "これは長い題名です 🌲🌳 שלום العالم e\u0301" * 3


def assert_it_fits(window: Window) -> None:
    """Check that every part is complete, inside the window, and does not overlap another."""
    width, height = window.app.size
    parts = [
        window.app.query_one(Tabs),
        window.transcript,
        window.prompt,
        window.app.query_one(StatusLine),
        window.app.query_one(Footer),
    ]
    assert [part.region.width for part in parts] == [width] * len(parts)
    assert parts[0].region.y == 0
    for above, below in pairwise(parts):
        assert above.region.bottom == below.region.y
    assert parts[-1].region.bottom == height
    assert all(part.region.height >= 1 for part in parts)
    assert [cell_len(line) for line in window.lines] == [width] * height
    for text in ("ctrl+n New", "ctrl+o Open", "ctrl+p Commands", "esc Stop", "f1 Help"):
        assert text in window.lines[-1]


@pytest.mark.parametrize("size", SIZES)
async def test_every_part_of_the_window_is_shown_at_every_size(size: tuple[int, int]) -> None:
    async with opened(size=size) as window:
        await window.sees("f1 shows all keys.")
        await window.sees("f1 Help")
        assert_it_fits(window)
        turn = await window.ask(WIDE)
        turn.write(
            f"# {WIDE}\n\n- {WIDE}\n\n```\n{WIDE}\n```\n\n| {WIDE} | b |\n|---|---|\n| 1 | 2 |\n"
        )
        turn.report(phase="queued", position=3)
        await window.until(lambda: "queued: 3 ahead" in window.status)
        await window.type(WIDE)
        assert_it_fits(window)
        turn.fail(f"Failed: {WIDE}")
        await window.sees("Failed: ")
        assert_it_fits(window)
        for key in ("f1", "ctrl+o", "ctrl+p"):
            await window.press(key)
            await window.until(lambda: len(window.app.screen_stack) == 2)
            assert [cell_len(line) for line in window.lines] == [size[0]] * size[1]
            await window.press("escape")
            await window.until(lambda: len(window.app.screen_stack) == 1)


async def test_the_window_follows_a_terminal_that_changes_its_size() -> None:
    async with opened(size=(120, 40)) as window:
        turn = await window.ask("Resize")
        turn.write("word " * 300)
        await window.sees("word")
        for size in ((60, 15), (80, 24), (100, 30)):
            await window.pilot.resize_terminal(*size)
            await window.until(lambda: len(window.lines) == window.app.size.height)
            assert_it_fits(window)
            await window.until(lambda: "writing" in window.status)


async def test_a_window_that_has_become_much_too_small_keeps_its_prompt() -> None:
    async with opened() as window:
        turn = await window.ask("Resize")
        for size in ((40, 10), (20, 6), (12, 4), (1, 1)):
            await window.pilot.resize_terminal(*size)
            turn.write(f"{WIDE}\n\n")
            await window.type("x")
            await window.until(lambda: len(window.lines) == window.app.size.height)
            assert [cell_len(line) for line in window.lines] == [size[0]] * size[1]
            if size[1] > 3:
                assert window.prompt.region.height == 3
                assert window.app.screen.region.contains_region(window.prompt.region)
            for key in ("f1", "ctrl+o"):
                await window.press(key)
                await window.until(lambda: len(window.app.screen_stack) == 2)
                await window.press("escape")
                await window.until(lambda: len(window.app.screen_stack) == 1)
        await window.pilot.resize_terminal(80, 24)
        await window.sees("ctrl+n New")
        await window.prompts("xxxx")
        assert_it_fits(window)


async def test_a_terminal_that_loses_the_focus_costs_no_restyling() -> None:
    async with opened() as window:
        from textual import events

        window.app.post_message(events.AppBlur())
        await window.pilot.pause()
        assert window.app.app_focus
        assert window.app.focused is window.prompt
        window.app.post_message(events.AppFocus())
        await window.pilot.pause()
        assert window.app.focused is window.prompt


async def test_a_theme_is_used_and_an_unknown_one_is_reported() -> None:
    async with opened(theme="nord") as window:
        assert window.app.theme == "nord"
    async with opened(theme="no [/] such") as window:
        await window.sees("no [/] such")


async def test_no_color_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened() as window:
        assert window.app.no_color
        await window.ask("Plain")
        await window.sees("Plain")
