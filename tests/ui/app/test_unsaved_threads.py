"""Tests of saves that fail: the banner, and the recovery file written at the shutdown."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from koel_tui import paths
from koel_tui.conversation.backend import Backend
from koel_tui.protocol import ChatState
from koel_tui.session import KoelClient, autosave
from koel_tui.storage import MemoryStorage, StorageError
from tests.hostile_summary import Tally
from tests.storage.helpers import encrypted
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, opened


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 0.05)


class Full(MemoryStorage):
    """A storage on a disk that is full until space is freed."""

    full = True
    directory = Path("/data/threads")

    async def save(self, thread_id: str, state: ChatState) -> None:
        if self.full:
            raise StorageError("not saved") from OSError(28, "No space left on device")
        await super().save(thread_id, state)


def recovered() -> list[Path]:
    return sorted((paths.state_dir() / "recovery").glob("unsaved-*"))


async def gone(window: Window) -> str:
    await window.press("ctrl+q")
    await window.until(lambda: not window.app.is_running, "the end")
    return "".join(str(said) for said in window.app._exit_renderables)


@pytest.mark.parametrize("size", [(80, 24), (60, 15)])
async def test_a_banner_is_shown_while_the_disk_is_full(
    size: tuple[int, int], tally: Tally
) -> None:
    storage = Full()
    async with opened(size=size, storage=storage) as window:
        (await window.ask("First")).finish()
        await window.sees("✗ NOT SAVED: 'First'")
        await window.sees("  No space left on device: /data/threads.")
        await window.sees("  Free some space: it is tried again every few seconds.")
        assert all(len(line) <= size[0] for line in window.lines)
        await window.press("ctrl+n")  # every tab shows the problem
        (await window.ask("Second")).finish()
        await window.sees("✗ NOT SAVED: 'First', 'Second'")
        storage.full = False
        await window.misses("NOT SAVED")
        assert not await gone(window)
    assert window.app.return_code == 0
    assert len(await storage.list_threads()) == 2
    assert recovered() == []
    tally("full disk", tried=2)


async def test_unsaved_work_is_restored_at_the_next_start(tmp_path: Path, tally: Tally) -> None:
    storage = Full()
    async with opened(storage=storage, home=tmp_path / "state") as window:
        turn = await window.ask("Long story")
        turn.write("half an ans")
        await window.reads("half an ans")
        await window.type("queued words")
        await window.press("enter")
        await window.type("a draft")
        said = await gone(window)
    assert window.app.return_code == 74
    (path,) = recovered()
    assert f"koel-chat threads import {path}" in said and "'Long story'" in said
    storage = Full()
    storage.full = False
    async with opened(storage=storage, home=tmp_path / "state") as window:
        await window.sees("Restored unsaved work from the last")
        await window.reads("half an ans")
        await window.prompts("queued words\n\na draft")
        await window.until(lambda: recovered() == [], "the file is removed")
    (thread_id,) = await storage.list_threads()
    state = await storage.load(thread_id)
    assert state is not None
    assert [message.content for message in state.messages] == ["Long story", "half an ans"]
    tally("full disk", tried=3)


async def test_an_unsaved_closed_tab_is_in_the_recovery_file(tally: Tally) -> None:
    async with opened(storage=Full()) as window:
        (await window.ask("Closed")).finish()
        await window.sees("NOT SAVED: 'Closed'")
        await window.press("alt+w")
        await window.sees("NOT SAVED: Closed")
        await window.sees("✗ NOT SAVED: 'Closed'")
        assert "'Closed'" in await gone(window)
    (path,) = recovered()
    assert b"Closed" in path.read_bytes()
    tally("full disk", tried=1)


async def test_drafts_that_cannot_be_saved_are_in_the_recovery_file(
    tmp_path: Path, tally: Tally
) -> None:
    home = tmp_path / "drafts"
    async with opened(home=home) as window:
        await window.type("before")
        await window.until(lambda: b"before" in kept(home), "the draft kept")
        for path in home.iterdir():
            path.unlink()
        home.rmdir()
        home.touch()  # a file in place of the directory
        await window.type(" and after")
        await window.sees("✗ NOT SAVED: drafts")
        assert "drafts" in await gone(window)
    assert window.app.return_code == 74
    home.unlink()
    async with opened(home=home) as window:
        await window.prompts("before and after")
        await window.until(lambda: recovered() == [], "the file is removed")
        await window.until(lambda: b"and after" in kept(home), "the draft kept")
    tally("unusable directory", tried=1)


def kept(home: Path) -> bytes:
    path = home / "tabs-1.json"
    return path.read_bytes() if path.exists() else b""


async def test_a_removed_drafts_directory_is_created_again(tmp_path: Path, tally: Tally) -> None:
    home = tmp_path / "drafts"
    async with opened(home=home) as window:
        await window.type("before")
        await window.until(lambda: b"before" in kept(home), "the draft kept")
        for path in home.iterdir():
            path.unlink()
        home.rmdir()
        await window.type(" and after")
        await window.until(lambda: b"before and after" in kept(home), "the draft kept")
    tally("unusable directory", tried=1)


async def test_a_recovery_file_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    file = tmp_path / "file"
    file.touch()
    monkeypatch.setattr(paths, "recovery_dirs", lambda: (file,))
    async with opened(storage=Full()) as window:
        (await window.ask("Doomed")).finish()
        await window.sees("NOT SAVED")
        said = await gone(window)
    assert window.app.return_code == 74
    assert "'Doomed'" in said and f"file could be written: Cannot use {file}" in said
    tally("full disk", tried=1)


async def test_the_recovery_file_of_encrypted_threads_is_encrypted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    folder = tmp_path / "threads"
    agent = ScriptedAgent()
    full = True
    storage = encrypted(folder)

    def fails_while_full(save: Callable[[str, ChatState], Awaitable[None]]) -> Any:
        async def saved(thread_id: str, state: ChatState) -> None:
            if full:
                raise StorageError("disk full")
            await save(thread_id, state)

        return saved

    for name in ("save", "save_progress"):  # a save during the answer must fail as well
        monkeypatch.setattr(storage, name, fails_while_full(getattr(storage, name)))

    def connect() -> Backend:
        return Backend(KoelClient(agent, storage=storage), storage, agent)

    async with opened(agent=agent, connect=connect) as window:
        await window.connected()
        turn = await window.ask("secret question")
        turn.write("secret answer")
        await window.sees("NOT SAVED")
        await window.type("secret draft")
        await gone(window)
    (path,) = recovered()
    assert path.suffix == ".sealed" and b"secret" not in path.read_bytes()
    full = False
    agent = ScriptedAgent()
    async with opened(agent=agent, connect=connect) as window:
        await window.connected()
        await window.until(lambda: recovered() == [], "the file is removed")
        await window.prompts("") if window.prompt.text == "" else await window.prompts(
            "secret draft"
        )
    (thread_id,) = await storage.list_threads()
    state = await encrypted(folder).load(thread_id)
    assert state is not None
    assert [message.content for message in state.messages] == ["secret question", "secret answer"]
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or b"secret" not in file.read_bytes(), file
    tally("full disk", tried=1)


async def test_a_file_that_cannot_be_read_stays_and_is_reported() -> None:
    path = paths.state_dir() / "recovery" / "unsaved-1.json"
    path.parent.mkdir(parents=True, mode=0o700)
    path.write_text("{")
    async with opened(size=(150, 24)) as window:
        await window.sees("The recovery file")
        (await window.ask("on it goes")).finish()
    assert path.read_text() == "{"


async def test_an_error_of_the_window_names_the_recovery_file(
    capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    with pytest.raises(RuntimeError, match="a bug"):
        async with opened(storage=Full()) as window:
            (await window.ask("Doomed")).finish()
            await window.sees("NOT SAVED")

            def fail() -> None:
                raise RuntimeError("a bug")

            window.app.call_later(fail)
            await window.until(lambda: not window.app.is_running, "the end")
    said = capsys.readouterr().err
    assert "ended because of an internal error: RuntimeError in test_unsaved_threads.py" in said
    assert str(recovered()[0]) in said
    assert window.app.return_code == 1
    tally("window error", tried=1)


async def test_a_forced_exit_writes_the_recovery_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tally: Tally
) -> None:
    async with opened(storage=Full()) as window:
        (await window.ask("Doomed")).finish()
        await window.sees("NOT SAVED")
        slow = asyncio.Event()
        monkeypatch.setattr(window.agent, "close", slow.wait)
        await window.press("ctrl+q")
        await window.until(lambda: "Saving…" in window.status)
        await gone(window)
        slow.set()
    assert window.app.return_code == 74
    assert str(recovered()[0]) in capsys.readouterr().err
    tally("full disk", tried=1)
