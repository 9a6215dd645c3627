"""Tests of the export of threads from the library."""

from pathlib import Path

import pytest

from koel_tui.storage import JsonFileStorage
from tests.ui.library.saved_threads import library, on, storage, titled

__all__ = ["storage"]


@pytest.mark.parametrize(
    ("moves", "name", "begins"),
    [(0, "Trees.md", "# Trees"), (1, "Trees.html", "<!"), (2, "Trees.json", "{")],
)
async def test_a_thread_is_exported_to_a_new_file(
    storage: JsonFileStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    moves: int,
    name: str,
    begins: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).write_text("mine")
    await titled(storage, "Trees")
    async with on(storage) as window:
        await library(window)
        await window.press("ctrl+s")
        await window.sees("Export as")
        await window.press(*["down"] * moves, "enter")
        await window.sees(name)
        await window.press("enter")
        await window.sees("exists already")
        await window.press("home")
        await window.type("new")
        await window.press("enter")
        await window.sees("Saved in")
    assert (tmp_path / name).read_text() == "mine"
    text = (tmp_path / f"new{name}").read_text()
    assert text.startswith(begins) and "Trees says 1" in text


async def test_an_export_of_an_open_thread_has_the_state_of_the_window(
    storage: JsonFileStorage,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If the export read the file, the next save would overwrite another program's changes."""
    monkeypatch.chdir(tmp_path)
    await titled(storage, "Trees")
    async with on(storage, (100, 30)) as window:
        await library(window)
        await window.press("enter")
        await window.has_tabs("1 Trees")
        file = next((tmp_path / "threads").glob("*.json"))
        theirs = file.read_text().replace("Trees says 1", "Others say so")
        assert "Others" in theirs
        file.write_text(theirs)
        await library(window)
        await window.until(lambda: "Trees says 1" in window.screen, "the preview")
        await window.press("ctrl+s")
        await window.sees("Export as")
        await window.press("enter")
        await window.sees("enter saves")
        await window.press("enter")
        await window.sees("Saved in")
        await window.press("escape")
        (await window.ask("More")).finish()
        await window.until(lambda: bool(storage.conflicts), "a file next to the other program's")
    assert "Trees says 1" in (tmp_path / "Trees.md").read_text()
    assert file.read_text() == theirs
