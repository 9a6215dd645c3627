"""Tests that a panel that closes while a read or search starts leaves no job behind."""

import gc
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widget import Widget

from koel_tui.protocol import ChatState
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.search.thread_index import ThreadIndex
from koel_tui.ui.library.preview import Preview
from koel_tui.ui.library.text_search import TextSearch
from koel_tui.workspace.saved_threads import SavedThread
from tests.ui.window import opened


async def test_a_panel_that_closes_as_it_begins_to_read_leaves_nothing_unawaited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    due: list[Callable[[], object]] = []
    monkeypatch.setattr(Widget, "set_timer", lambda _, __, callback: due.append(callback))

    async def read(thread_id: str) -> ChatState:
        return ChatState()

    def nothing() -> None:
        pass

    index = ThreadIndex(JsonFileStorage(tmp_path / "threads"), tmp_path)
    async with opened() as window:
        preview = Preview(read)
        await window.app.mount(preview)
        due.clear()
        preview.show_soon(SavedThread("t", "A thread"))
        search = TextSearch(preview, index, str, nothing, nothing)
        search.start("word")
        assert len(due) == 2
        for each in due:
            each()
        preview.workers.cancel_node(preview)  # its screen does this when it closes
        await window.handled()
        gc.collect()
    assert [str(each.message) for each in recwarn if "never awaited" in str(each.message)] == []
