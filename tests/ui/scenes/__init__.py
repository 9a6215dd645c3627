"""Scenes: the states of a window, each reached by the actions of a user."""

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from koel_tui.conversation.drafts import Draft
from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage, MemoryStorage
from koel_tui.workspace.open_tabs import OpenTab, OpenTabs
from koel_tui.workspace.open_tabs_file import OpenTabsFile
from tests.storage.helpers import Clock
from tests.ui.scenes import panels, talking
from tests.ui.window import Window, messages

Scene = Callable[[Window], Awaitable[None]]

SCENES: Mapping[str, Scene] = {
    scene.__name__: scene
    for scene in (
        talking.nothing_yet, talking.loading, panels.no_model, talking.an_answer,
        talking.top_of_an_answer, talking.reading, talking.writing, talking.writing_below,
        talking.folded, talking.unfolded, talking.queued, talking.stopped, talking.failed,
        talking.many_tabs, panels.tab_list, panels.saved_threads, panels.saved_threads_filtered,
        panels.no_saved_threads, panels.palette, panels.keys, talking.long_prompt, panels.links,
        panels.a_link, talking.too_big, talking.toast, talking.left_out, talking.further_up,
        talking.at_the_top, talking.strange, talking.quitting, talking.branches, talking.editing,
        talking.empty_branch, panels.queue_list, panels.thread_settings, panels.bad_setting,
        talking.side_by_side, panels.side_by_side_list, panels.statistics, panels.park_question,
        panels.saved_threads_renamed, panels.saved_threads_deleted, panels.saved_threads_exported,
    )
}  # fmt: skip


UNLOADED = ("loading", "no_model")
"""The scenes that begin before the model is loaded."""


async def stage(name: str, home: Path) -> MemoryStorage | JsonFileStorage:
    """Return the initial storage of a scene, and write its open tabs to `home`."""
    if name.startswith("saved_threads"):
        storage = JsonFileStorage(home / "threads", clock=Clock())
        for n, asked in enumerate(("About forests", "About 漢字 cities", "A very " + talking.LINE)):
            asks = Message("u", "user", asked)
            await storage.save(f"t{n}", ChatState(messages=(asks,)))
        await storage.save("damaged", messages(2))
        (path,) = (
            file for file in storage.directory.glob("*.json") if "message 0" in file.read_text()
        )
        path.write_text("[half")
        return JsonFileStorage(home / "threads", clock=Clock())
    memory = MemoryStorage(clock=Clock())
    if name in ("further_up", "at_the_top"):
        await memory.save("t", messages(60))
        tabs = OpenTabsFile(home)
        tabs.open()
        tabs.write(OpenTabs((OpenTab("t", "Sixty messages", Draft("")),), 0))
        tabs.close()
    return memory
