"""Tests that compare pictures of the window in every state with accepted pictures.

`uv run pytest -m "slow or not slow" tests/ui/test_pictures.py --snapshot-update` writes new
pictures: look at each. Without `-m`, it deletes the pictures that only the long run compares.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet
from pytest_textual_snapshot import SVGImageExtension
from syrupy.assertion import SnapshotAssertion
from textual.widgets import Input, TextArea

from koel_tui.ui.app.app import KoelApp
from tests.ui.scenes import SCENES, UNLOADED, stage
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, assembly

SIZES = {"60x15": (60, 15), "80x24": (80, 24), "120x40": (120, 40)}
ALIKE_WHEN_SMALL = {
    "at_the_top", "branches", "editing", "empty_branch", "failed", "further_up", "left_out",
    "links", "loading", "no_saved_threads", "quitting", "reading", "saved_threads_deleted",
    "saved_threads_filtered", "statistics", "stopped", "tab_list", "toast", "top_of_an_answer",
    "unfolded", "writing",
}  # fmt: skip
"""Scenes that look like another one in the smallest window: only the long run compares them."""
SETTLED = 0.2
"""Seconds without a change after which a window counts as settled."""


@pytest.fixture
def pictures(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(SVGImageExtension)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the time zone, because lists show the local time."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


@pytest.fixture(autouse=True)
def no_blinking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stop the blinking of cursors, which would make pictures differ at random."""
    for field in (Input, TextArea):
        monkeypatch.setattr(field.cursor_blink, "_default", False)


async def taken(window: Window) -> str:
    """Return a picture of the window after it has settled."""
    picture, since = "", 0.0
    window.app.screen.refresh()  # paints the changes under a panel
    await window.handled()

    def still() -> bool:
        nonlocal picture, since
        waits = (
            window.app._main.repaint_throttle._is_scheduled
            or window.transcript._throttle._is_scheduled
        )
        now = window.app.export_screenshot(title="koel-chat", simplify=True)
        if waits or now != picture:
            picture, since = now, time.monotonic()
        return time.monotonic() - since > SETTLED

    await window.until(still, "a still picture")
    return picture


def dark() -> Iterator[ParameterSet]:
    for name in SCENES:
        for size in SIZES:
            slow = size == "120x40" or (size == "60x15" and name in ALIKE_WHEN_SMALL)
            marks = pytest.mark.slow if slow else ()
            yield pytest.param(name, size, marks=marks, id=f"{name}-{size}")


@pytest.mark.parametrize(("name", "size"), dark())
async def test_the_window_looks_as_it_did(
    name: str, size: str, pictures: SnapshotAssertion, tmp_path: Path
) -> None:
    await compare(name, size, None, pictures, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", SCENES)
async def test_the_light_window_looks_as_it_did(
    name: str, size: str, pictures: SnapshotAssertion, tmp_path: Path
) -> None:
    await compare(name, size, "textual-light", pictures, tmp_path)


async def compare(
    name: str, size: str, theme: str | None, pictures: SnapshotAssertion, tmp_path: Path
) -> None:
    agent = ScriptedAgent(load_at_once=name not in UNLOADED)
    app = KoelApp(assembly(agent, await stage(name, tmp_path)), home=tmp_path, theme=theme)
    async with app.run_test(size=SIZES[size], notifications=True) as pilot:
        window = Window(pilot, app, agent)
        if name not in UNLOADED:
            await window.connected()
        await SCENES[name](window)
        picture = await taken(window)
    look = tmp_path / f"{name}-{size}.svg"
    look.write_text(picture, "utf-8")
    same = pictures == picture
    assert same, f"{look} is not as in __snapshots__: accept it with --snapshot-update"
