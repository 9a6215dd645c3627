"""Tests of the picker of saved threads, the list of keys and the command palette."""

from pathlib import Path

from textual.command import CommandPalette

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage, MemoryStorage
from koel_tui.ui.app.help_panel import HelpPanel
from koel_tui.ui.keys.key_table import ALL_KEYS, KEYS
from koel_tui.ui.library.library_panel import LibraryPanel
from koel_tui.ui.widgets.choice import SimpleChoice
from koel_tui.ui.widgets.picker import Picker, PickerTexts
from tests.ui.window import Window, messages, opened


async def saved(**threads: str) -> MemoryStorage:
    """Return a storage of threads with these ids and first messages; the last one is newest."""
    storage = MemoryStorage()
    for thread_id, asked in threads.items():
        await storage.save(thread_id, ChatState(messages=(Message("u", "user", asked),)))
    return storage


async def picker(window: Window) -> None:
    await window.press("ctrl+o")
    await window.until(lambda: isinstance(window.app.screen, Picker))
    await window.sees("esc closes")


async def test_saved_threads_are_listed_newest_first_and_enter_opens_one() -> None:
    async with opened(storage=await saved(a="About forests", b="About cities")) as window:
        await picker(window)
        await window.sees("About cities")
        rows = [n for n, line in enumerate(window.lines) if "About" in line]
        assert "cities" in window.lines[rows[0]]
        assert "1 message · " in window.lines[rows[0]]
        await window.press("down", "enter")
        await window.until(lambda: window.shown == ["About forests"])
        await window.has_tabs("1 About forests")


async def test_typing_narrows_the_list() -> None:
    async with opened(storage=await saved(a="About forests", b="About cities")) as window:
        await picker(window)
        await window.type("FOR ab")
        await window.misses("About cities")
        await window.press("enter")
        await window.until(lambda: window.shown == ["About forests"])


async def test_a_thread_open_in_a_tab_is_activated_and_not_opened_twice() -> None:
    async with opened(storage=await saved(a="About forests")) as window:
        await picker(window)
        await window.press("enter")
        await window.has_tabs("1 About forests")
        await window.press("ctrl+n")
        await picker(window)
        await window.press("enter")
        await window.until(lambda: window.shown == ["About forests"])
        await window.has_tabs("1 About forests", "2 New thread")


async def test_escape_leaves_the_picker_and_changes_nothing() -> None:
    async with opened(storage=await saved(a="About forests")) as window:
        await window.type("draft")
        await picker(window)
        await window.press("escape")
        await window.until(lambda: not isinstance(window.app.screen, Picker))
        assert (window.tabs, window.prompt.text) == (["1 New thread"], "draft")


async def test_keys_pressed_twice_in_the_picker_count_once() -> None:
    async with opened(storage=await saved(a="About forests")) as window:
        for keys in (("enter", "enter"), ("enter", "escape"), ("escape", "enter", "escape")):
            await picker(window)
            await window.press(*keys)
            await window.until(lambda: len(window.app.screen_stack) == 1)
        await window.has_tabs("1 About forests")


async def test_the_picker_says_when_there_is_nothing() -> None:
    async with opened() as window:
        await picker(window)
        await window.sees("No thread is saved yet · esc closes")
        await window.press("enter", "pagedown", "pageup", "up", "down")
        assert isinstance(window.app.screen, Picker)


async def test_a_damaged_file_is_named_at_the_start_and_cannot_be_opened(tmp_path: Path) -> None:
    storage = JsonFileStorage(tmp_path / "threads")
    await storage.save("good", messages(2, "good {n}"))
    await storage.save("bad", messages(2, "bad {n}"))
    bad = next(
        path for path in (tmp_path / "threads").glob("*.json") if "bad 0" in path.read_text()
    )
    bad.write_text("[half")
    storage = JsonFileStorage(tmp_path / "threads")
    async with opened(storage=storage) as window:
        await window.sees("is damaged")
        await picker(window)
        await window.sees("good 0")
        await window.sees("damaged: ")
        await window.press("down", "enter")
        await window.until(lambda: window.shown == ["good 0", "good 1"])


async def test_a_long_list_fits_a_small_window() -> None:
    threads = {f"t{n}": f"Thread number {n}" for n in range(60)}
    async with opened(size=(60, 15), storage=await saved(**threads)) as window:
        await picker(window)
        await window.sees("Thread number 59")
        await window.until(lambda: "enter opens · esc closes" in window.screen)
        await window.press("pagedown", "pagedown", "enter")
        await window.until(lambda: len(window.shown) == 1)


async def test_help_lists_every_key() -> None:
    async with opened(size=(100, 80)) as window:
        await window.press("f1")
        await window.until(lambda: isinstance(window.app.screen, HelpPanel))
        for key in ALL_KEYS:
            if not key.id.removeprefix("tab.").isdigit():
                await window.sees(key.help)
        for names in ("alt+1 … alt+9", "f5 ctrl+pgup", "f6 ctrl+pgdn", "ctrl+j alt+enter"):
            await window.sees(names)
        await window.press("escape")
        await window.until(lambda: not isinstance(window.app.screen, HelpPanel))


async def test_report_38_help_names_the_selection_of_the_terminal() -> None:
    async with opened(size=(100, 90)) as window:
        await window.press("f1")
        await window.sees("drag              select text; ctrl+c copies it")
        await window.sees("shift+drag        the selection of the terminal")


async def test_help_shows_remapped_keys() -> None:
    async with opened(size=(100, 80)) as window:
        window.app.set_keymap({"tab.new": "ctrl+t"})
        await window.press("f1")
        await window.until(lambda: isinstance(window.app.screen, HelpPanel))
        line = next(line for line in window.lines if "new tab" in line)
        assert "ctrl+t" in line and "ctrl+n" not in line


async def test_the_palette_offers_our_commands_and_runs_them() -> None:
    async with opened(size=(80, 140)) as window:
        (await window.ask("First")).finish()
        await window.press("ctrl+p")
        await window.until(lambda: isinstance(window.app.screen, CommandPalette))
        for key in KEYS:
            if key.command:
                await window.sees(key.command)
        for foreign in ("Screenshot", "Maximize"):
            assert foreign not in window.screen
        await window.type("new tab")
        await window.misses("Quit")
        await window.press("enter")
        await window.until(lambda: len(window.tabs) == 2)


async def test_paging_through_an_empty_palette_does_no_harm() -> None:
    async with opened() as window:
        await window.press("ctrl+p", "pagedown", "pageup")
        await window.until(lambda: isinstance(window.app.screen, CommandPalette))
        await window.type("no command has these words")
        await window.press("pagedown", "pageup", "down", "up", "enter", "escape")
        await window.until(lambda: len(window.app.screen_stack) == 1)


class Listed(Picker[SimpleChoice[int]]):
    TEXTS = PickerTexts("Numbers", "Type to find one", "None", "takes it")


async def test_a_list_takes_keys_before_it_is_laid_out_and_keeps_its_line_at_another_size() -> None:
    async with opened() as window:
        numbers = [SimpleChoice(n, str(n)) for n in range(5)]
        panel = Listed(numbers)
        await window.app.push_screen(panel)
        await panel.action_list("cursor_down")
        assert panel.highlighted is numbers[1]
        await window.pilot.resize_terminal(70, 20)
        await window.handled()
        assert panel.highlighted is numbers[1]


async def test_a_panel_is_left_once_and_only_when_it_is_in_front() -> None:
    async with opened() as window:
        below, above = Listed([SimpleChoice(1, "One")]), Listed([SimpleChoice(2, "Two")])
        left: list[SimpleChoice[int] | None] = []
        await window.app.push_screen(below, left.append)
        await window.app.push_screen(above, left.append)
        below.dismiss()
        assert window.app.screen is above
        choice = above.highlighted
        above.dismiss(choice)
        above.dismiss()
        assert window.app.screen is below
        await window.until(lambda: left == [choice])


async def test_a_closed_list_opens_no_dialog() -> None:
    async with opened(storage=await saved(a="About forests")) as window:
        await picker(window)
        panel = window.app.screen
        assert isinstance(panel, LibraryPanel)
        panel.action_rename()
        panel.dismiss()
        await window.handled()
        assert len(window.app.screen_stack) == 1
