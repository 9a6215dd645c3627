"""The open tabs are saved when they change, and saved again after an error."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from koel_tui.conversation.drafts import Draft
from koel_tui.workspace import window_state
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs, decode
from koel_tui.workspace.open_tabs_file import OpenTabsFile
from koel_tui.workspace.window_state import WindowState


class Tabs:
    """The open tabs of a program, the state that saves them, and the reported problems."""

    def __init__(self, state: WindowState) -> None:
        self.state = state
        self.now = OpenTabs()
        self.announced: list[str] = []
        self.asked = 0

    def current(self) -> OpenTabs:
        self.asked += 1
        return self.now

    def type(self, draft: str) -> None:
        self.now = OpenTabs((OpenTab(None, "", Draft(draft)),))
        self.state.mark_changed()


@pytest.fixture(autouse=True)
def short_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(window_state, "SAVE_INTERVAL_S", 0.005)


@asynccontextmanager
async def saving(home: Path) -> AsyncIterator[Tabs]:
    """Run `save_changes` for the tabs of a program."""
    tabs = Tabs(WindowState(home, pytest.fail))
    await tabs.state.load_tabs()
    saves = asyncio.create_task(
        tabs.state.save_changes(tabs.current, lambda: tabs.announced.append(tabs.state.problem))
    )
    try:
        yield tabs
    finally:
        saves.cancel()
        with suppress(asyncio.CancelledError):
            await saves
        await tabs.state.close(tabs.now)


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not reached():
            await asyncio.sleep(0.002)


def stored(home: Path) -> str:
    try:
        return next(
            (tab.draft.text for tab in decode((home / "tabs-1.json").read_bytes()).tabs), ""
        )
    except FileNotFoundError:
        return ""


async def test_each_change_is_saved(tmp_path: Path) -> None:
    async with saving(tmp_path) as tabs:
        tabs.type("one")
        await until(lambda: stored(tmp_path) == "one")
        tabs.type("two")
        await until(lambda: stored(tmp_path) == "two")


async def test_a_change_during_a_save_is_saved_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = OpenTabsFile.write

    def change_and_write(file: OpenTabsFile, written: OpenTabs) -> None:
        if written.tabs[0].draft.text == "first":
            loop.call_soon_threadsafe(tabs.type, "second")
        write(file, written)

    monkeypatch.setattr(OpenTabsFile, "write", change_and_write)
    loop = asyncio.get_running_loop()
    async with saving(tmp_path) as tabs:
        tabs.type("first")
        await until(lambda: stored(tmp_path) == "second")


async def test_unchanged_tabs_are_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with saving(tmp_path) as tabs:
        tabs.type("same")
        await until(lambda: stored(tmp_path) == "same")
        monkeypatch.setattr(OpenTabsFile, "write", lambda *_: pytest.fail("written again"))
        before = tabs.asked
        async with asyncio.timeout(10):
            while tabs.asked < before + 3:
                tabs.state.mark_changed()
                await asyncio.sleep(0.002)


async def test_a_failed_save_is_retried_without_another_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0
    write = OpenTabsFile.write

    def fail_twice(file: OpenTabsFile, written: OpenTabs) -> None:
        nonlocal attempts
        attempts += 1
        if attempts <= 2:
            raise OSError(28, "No space left on device")
        write(file, written)

    monkeypatch.setattr(OpenTabsFile, "write", fail_twice)
    async with saving(tmp_path) as tabs:
        tabs.type("kept")
        await until(lambda: stored(tmp_path) == "kept" and len(tabs.announced) == 2)
        failed, solved = tabs.announced
        assert "No space left" in failed and not solved
    assert attempts == 3
