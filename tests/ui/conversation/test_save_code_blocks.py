"""Tests of saving code blocks: choice, file name, and existing files are not overwritten."""

from pathlib import Path

import pytest

from koel_tui.ui.conversation.code_blocks import CodeBlock, suggest_file_name
from koel_tui.ui.conversation.code_picker import CodePicker
from koel_tui.ui.widgets.save_as_panel import SaveAsPanel
from tests.ui.window import Window, opened

TWO = "One:\n```python\nprint(1)\n```\ntwo:\n```\nls\nps\n```\n"


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "here"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


async def naming(window: Window) -> SaveAsPanel:
    await window.until(lambda: isinstance(window.app.screen, SaveAsPanel))
    await window.sees("enter saves")
    assert isinstance(window.app.screen, SaveAsPanel)
    return window.app.screen


async def saving(window: Window, answer: str) -> None:
    await window.answered("Code?", answer)
    await window.press("alt+shift+b")
    await naming(window)


async def back(window: Window) -> None:
    await window.until(lambda: len(window.app.screen_stack) == 1)


@pytest.mark.parametrize(
    ("language", "extension"),
    [("python", "py"), ("C++", "cpp"), ("json", "json"), ("", "txt"), ("../../x", "txt"),
     ("a language", "txt"), ("TypeScript", "ts")],
)  # fmt: skip
def test_a_code_file_has_the_extension_of_its_language(language: str, extension: str) -> None:
    assert CodeBlock("x", language).extension == extension


def test_a_proposed_file_name_is_neither_a_path_nor_hidden() -> None:
    assert (
        suggest_file_name(CodeBlock("x", "python"), "../.ssh/\x1b[31mkey?", 2) == "ssh 31mkey-2.py"
    )
    assert suggest_file_name(CodeBlock("x", ""), "", 1) == "thread-1.txt"


async def test_a_lone_surrogate_in_a_block_does_not_keep_it_from_being_saved(here: Path) -> None:
    async with opened() as window:
        await window.app.push_screen(SaveAsPanel("new", "ä\ud800"))
        await window.sees("enter saves")
        await window.press("enter")
        await window.until((here / "new").exists)
        assert (here / "new").read_text() == "ä\ufffd"


async def test_one_of_several_blocks_is_chosen_and_saved(here: Path) -> None:
    async with opened(size=(100, 24)) as window:
        await window.press("alt+shift+b")
        await window.sees("no code block in the last answer")
        await window.answered("Code?", TWO)
        await window.press("alt+shift+b")
        await window.until(lambda: isinstance(window.app.screen, CodePicker))
        await window.sees("1 print(1)")
        await window.sees("python, 1 line")
        await window.press("down", "enter")
        await naming(window)
        await window.press("enter")
        await back(window)
        assert (here / "Code-2.txt").read_text() == "ls\nps\n"
        await window.sees("Saved code block 2 of 2 in")


async def test_the_only_block_needs_no_choice_and_the_name_can_be_changed(here: Path) -> None:
    (here / "Code-1.py").write_text("mine")
    async with opened() as window:
        await saving(window, "```python\nprint(1)\n```\n")
        await window.press("enter")
        await window.sees("Code-1.py exists already. Type another name.")
        await window.press("ctrl+u")
        await window.press("enter")
        await window.sees("Type the name of a file.")
        await window.type("no such folder/x.py")
        await window.press("enter")
        await window.sees("cannot be written")
        await window.press("ctrl+u")
        await window.type("mine[b].py")
        await window.press("enter")
        await back(window)
    assert (here / "Code-1.py").read_text() == "mine"
    assert (here / "mine[b].py").read_text() == "print(1)\n"


async def test_a_folder_that_may_not_be_written_to_is_reported(here: Path) -> None:
    async with opened() as window:
        await saving(window, "```\nx\n```\n")
        await window.press("ctrl+u")
        await window.type("/proc/x")
        await window.press("enter")
        await window.sees("/proc/x cannot be written")
        await window.press("escape")
        await back(window)
    assert list(here.iterdir()) == []
