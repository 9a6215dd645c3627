"""Tests that changes outside the transcript neither restyle it nor lay it out again."""

from collections import Counter
from collections.abc import Callable

import pytest
from textual import events
from textual._compositor import LayoutUpdate
from textual.app import App
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.screen import Screen
from textual.widget import Widget

from koel_tui.storage import MemoryStorage
from koel_tui.ui import internals
from koel_tui.ui.transcript.mount_window import MAX_WIDGETS, TAIL_MESSAGES
from koel_tui.ui.transcript.transcript import Transcript
from tests.ui.window import Window, messages, opened


class Counts:
    """Counts the layouts of the window and the style updates in the transcript."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.of: Counter[str] = Counter()
        apply, layout_now = Stylesheet.apply, Screen._refresh_layout

        def count_apply(sheet: Stylesheet, node: DOMNode, **options: object) -> None:
            if any(isinstance(each, Transcript) for each in node.ancestors):
                self.of["styled"] += 1
            apply(sheet, node, **options)  # type: ignore[arg-type]  # passed on unchanged

        def count_layout(screen: Screen[object], *arguments: object, **options: object) -> None:
            self.of["layouts"] += 1
            layout_now(screen, *arguments, **options)  # type: ignore[arg-type]  # passed on

        patch.setattr(Stylesheet, "apply", count_apply)
        patch.setattr(Screen, "_refresh_layout", count_layout)


async def a_long_thread(window: Window) -> None:
    await window.reads("message number 499.")
    await window.until(lambda: "saved" in window.status)
    await window.pilot.pause()


def focus_lost_and_found(window: Window) -> None:
    window.app.post_message(events.AppBlur())
    window.app.post_message(events.AppFocus())


def hint(window: Window) -> None:
    window.app.post_message(events.Key("ctrl+c", None))


def unseen(window: Window) -> None:
    window.transcript.post_message(Transcript.Unseen(window.transcript, True))


def classes(window: Window) -> None:
    for node in window.transcript.ancestors:
        if isinstance(node, Widget) and not isinstance(node, Screen):
            node.toggle_class("-busy")
    window.transcript.toggle_class("-busy")


@pytest.mark.parametrize(
    ("happening", "sign"),
    [
        (focus_lost_and_found, ""),
        (hint, "press ctrl+c again"),
        (unseen, "new text below"),
        (classes, ""),
    ],
)
async def test_events_do_not_restyle_the_messages_of_a_long_thread(
    happening: Callable[[Window], None], sign: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = MemoryStorage()
    await storage.save("long", messages(500, "message number {n}."))
    async with opened(storage=storage, thread="long") as window:
        await a_long_thread(window)
        counts = Counts(monkeypatch)
        happening(window)
        await window.sees(sign)
        for _ in range(3):
            await window.pilot.pause()
        assert counts.of == {}


async def test_a_theme_restyles_mounted_widgets_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    storage = MemoryStorage()
    await storage.save("long", messages(500, "message number {n}."))
    async with opened(storage=storage, thread="long") as window:
        await a_long_thread(window)
        counts = Counts(monkeypatch)
        window.app.theme = "textual-light"
        await window.until(lambda: counts.of["styled"] > 0)
        await window.pilot.pause()
        await window.until(lambda: len(window.shown) == TAIL_MESSAGES)
        assert counts.of["styled"] <= 3 * MAX_WIDGETS


async def test_text_that_grows_is_laid_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened() as window:
        turn = await window.ask("Tell")
        turn.write("A first paragraph, long enough for a line.")
        await window.reads("enough for a line.")
        await window.pilot.pause()
        counts = Counts(monkeypatch)
        for n in range(5):
            turn.write(" And more of it, which needs a line or two of its own," * 2 + f" {n}.")
            await window.reads(f" {n}.")
            await window.pilot.pause()
        assert counts.of["layouts"] < 2 * 5


async def test_a_layout_deferred_by_a_batch_runs_when_the_batch_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened() as window:
        await window.pilot.pause()
        monkeypatch.setattr(
            window.app, "_request_repaint", lambda: None
        )  # it would cause the layout later
        status = window.app._main.status_line
        with window.app.batch_update():
            status.styles.height = 2
            await window.pilot.pause()
            assert status.size.height == 1
        await window.until(lambda: status.size.height == 2)


async def test_a_batch_is_followed_by_a_complete_repaint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = 0

    def display(app: App[int], screen: Screen[object], renderable: object) -> None:
        nonlocal whole
        whole += isinstance(renderable, LayoutUpdate)

    async with opened() as window:
        await window.connected()
        await window.pilot.pause()
        monkeypatch.setattr(App, "_display", display)
        with window.app.batch_update():
            window.prompt.styles.height = 5
            await window.pilot.pause()
            internals.layout_now(window.prompt)
            await window.pilot.pause()
            assert whole == 0
        await window.until(lambda: whole > 0)
