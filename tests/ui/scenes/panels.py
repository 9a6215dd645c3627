"""Scenes of panels: lists, settings and questions."""

from textual.fuzzy import Matcher
from textual.widgets import OptionList

from koel_tui.models import NoModelError
from tests.ui.scenes.talking import answered, many_tabs, queued, side_by_side
from tests.ui.window import Window


async def tab_list(window: Window) -> None:
    await many_tabs(window)
    await window.press("f4")
    await window.sees("Open tabs")


async def saved_threads(window: Window) -> None:
    await window.press("ctrl+o")
    await window.sees("esc closes")
    await window.sees("damaged:")


async def saved_threads_filtered(window: Window) -> None:
    await saved_threads(window)
    await window.type("forest")
    await window.misses("damaged:")


async def no_saved_threads(window: Window) -> None:
    await window.press("ctrl+o")
    await window.sees("No thread is saved yet")


async def palette(window: Window) -> None:
    await window.press("ctrl+p")
    await window.sees("Search for commands")
    await window.type("tab")
    matches = Matcher("tab").match
    all_ = window.app.get_system_commands(window.app.screen)
    found = sum(matches(each.title) > 0 for each in all_)
    listed = window.app.screen.query_one(OptionList)
    await window.until(lambda: listed.option_count == found, "all that is found")


async def keys(window: Window) -> None:
    await window.press("f1")
    await window.sees("esc closes")


async def links(window: Window) -> None:
    await answered(window)
    await window.press("alt+l")
    await window.sees("esc closes")


async def a_link(window: Window) -> None:
    await links(window)
    await window.press("enter")
    await window.sees("https://")


async def queue_list(window: Window) -> None:
    await queued(window)
    await window.press("alt+q")
    await window.sees("Queued messages")


async def thread_settings(window: Window) -> None:
    await window.press("f2")
    await window.sees("This thread")
    await window.type("Trees")


async def bad_setting(window: Window) -> None:
    await thread_settings(window)
    await window.press("down")
    await window.until(lambda: getattr(window.app.focused, "id", "") == "field-temperature")
    await window.type("hot")
    await window.sees("from 0 to 1000000")


async def side_by_side_list(window: Window) -> None:
    await side_by_side(window)
    await window.press("alt+s", "alt+s")
    await window.sees("Side by side")


async def statistics(window: Window) -> None:
    await answered(window)
    await window.press("f3")
    await window.sees("Statistics")


async def park_question(window: Window) -> None:
    await answered(window)
    await window.press("ctrl+n")
    turn = await window.ask("And coffee?")
    turn.fail("8 sessions are open.", code="SessionLimitError")
    await window.sees("Park a thread?")


async def saved_threads_renamed(window: Window) -> None:
    await saved_threads(window)
    await window.press("f2")
    await window.sees("Rename")


async def saved_threads_deleted(window: Window) -> None:
    await saved_threads(window)
    await window.press("ctrl+d")
    await window.sees("ctrl+z undo")


async def saved_threads_exported(window: Window) -> None:
    await saved_threads(window)
    await window.press("ctrl+s")
    await window.sees("Markdown")


async def no_model(window: Window) -> None:
    window.agent.end_load(NoModelError("No model is here. Give one with --model FILE.gguf."))
    await window.sees("Qwen3-4B-GGUF")  # all models are listed
    await window.sees("Give one with")
