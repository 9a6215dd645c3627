"""The panel of saved threads: search, preview, open, rename, delete, export."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static

from koel_tui.formatting import truncate
from koel_tui.text import safe_line, search_words
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.library.dialogs import FORMATS, FormatPicker, RenamePanel, TrashPicker
from koel_tui.ui.library.preview import Preview
from koel_tui.ui.library.result_lines import (
    ResultLine,
    TextHit,
    line_key,
    line_option,
    line_thread,
    match_hits,
)
from koel_tui.ui.library.text_search import TextSearch
from koel_tui.ui.widgets.panel import Answer, Panel
from koel_tui.ui.widgets.picker import MAX_SHOWN, FilterInput, Picker, PickerTexts
from koel_tui.ui.widgets.save_as_panel import SaveAsPanel
from koel_tui.workspace.saved_threads import SavedThread

if TYPE_CHECKING:
    from koel_tui.workspace.thread_operations import ThreadOperations

_WIDE = 100
"""Width in columns from which on the preview is shown."""
_FRAME = 5
"""Rows of the panel that do not belong to the list."""
_KEYS = "f2 rename, ctrl+d delete, ctrl+s export, ctrl+t trash"
_UNDO_KEY = "ctrl+z undo"
_NOTHING_DELETED = "There is no deleted thread to restore."


@dataclass(frozen=True, slots=True)
class _ActionResult:
    """The result of an action: a message, and the thread to move the cursor to, if any."""

    message: str = ""
    thread: SavedThread | None = None


class _LibraryInput(FilterInput):
    """The search field; it leaves ctrl+d to the list, while the delete key edits its text."""

    LIST_KEYS = FilterInput.LIST_KEYS | {"ctrl+d"}


class LibraryPanel(Picker[SavedThread]):
    """Lists the saved threads. Returns the thread to open with the position in it, or None."""

    TEXTS = PickerTexts(
        "Saved threads",
        "Type to find a thread",
        "No thread is saved yet",
        "opens",
        "No thread contains these words",
    )
    FIELD = _LibraryInput
    BINDINGS: ClassVar[list[BindingType]] = [
        close_binding("tab.open"),
        Binding("f2,ctrl+r", "rename", show=False),
        Binding("ctrl+d,f8", "delete", show=False),
        Binding("ctrl+z", "undo", show=False),
        Binding("ctrl+s,f7", "export", show=False),
        Binding("ctrl+t,f9", "trash", show=False),
    ]

    def __init__(
        self,
        threads: Sequence[SavedThread],
        actions: "ThreadOperations",
        index_progress: Callable[[], str],
    ) -> None:
        """`index_progress` returns the progress of the search index while it is being built."""
        super().__init__(threads)
        self._actions = actions
        self._search = TextSearch(self, actions.index, index_progress, self._fill, self._show_state)
        self._lines: list[ResultLine] = []
        self._acting = False
        self._preview = Preview(actions.load_state)
        self._columns = Horizontal(self._list, self._preview, id="columns")
        self._state = Static(id="state")
        self._keys = Static(_KEYS, id="keys")

    def parts(self) -> Iterable[Widget]:
        """Return the field, the search state, the list with the preview, and the key hints."""
        return self._find, self._state, self._columns, self._keys

    # List

    def on_resize(self, event: events.Resize) -> None:
        """Show the preview if the panel is wide enough."""
        self._preview.display = event.size.width >= _WIDE

    @on(Input.Changed)
    def _start_search(self) -> None:
        self._lines = []  # a new query starts at the first line
        self._search.start(self._find.value)
        self._show_state()

    def _show_state(self) -> None:
        self._show_message(self._search.state)

    def _show_message(self, text: str) -> None:
        self._state.update(Content(safe_line(text)))

    def _choice_at(self, index: int) -> SavedThread | None:
        return line_thread(self._lines[index]) if index < len(self._lines) else None

    def _fill(self) -> None:
        before, index = self._under_cursor, self._list.highlighted or 0
        words = search_words(self._typed)
        found = [thread for thread in self._choices if thread.matches(words)]
        titles = found[:MAX_SHOWN]
        hits = list(match_hits(self._search.hits, self._choices, {each.id for each in titles}))
        self._lines = [*titles, *([None] if hits else []), *hits]
        height = max(1, self.size.height * 9 // 10 - _FRAME)
        self._list.styles.max_height = height
        self._columns.styles.height = height if self._preview.display else "auto"
        self._list.clear_options()
        width = self._list.scrollable_content_region.width
        self._list.add_options(line_option(line, width) for line in self._lines)
        self._list.action_first()
        if before is None:
            self._list.scroll_home(animate=False)  # show the heading too
        elif not self._go_to(before):
            self._go_near(index)
        undo = f"{_UNDO_KEY} · " if self._actions.deleted_threads else ""
        self._panel.border_subtitle = undo + self._hint(len(found) or len(hits))
        self._update_preview()

    def _go_to(self, wanted: SavedThread | TextHit) -> bool:
        """Move the cursor to this line; return False if it is not listed."""
        for index, line in enumerate(self._lines):
            if line_key(line) == line_key(wanted):
                self._list.highlighted = index
                return True
        return False

    def _go_near(self, start: int) -> None:
        """Move the cursor to this index, or to the nearest enabled line above it."""
        for index in range(min(start, len(self._lines) - 1), 0, -1):
            if not self._list.get_option_at_index(index).disabled:
                self._list.highlighted = index
                return

    @property
    def _under_cursor(self) -> SavedThread | TextHit | None:
        index = self._list.highlighted
        return self._lines[index] if index is not None and index < len(self._lines) else None

    @on(OptionList.OptionHighlighted)
    def _update_preview(self) -> None:
        self._preview.show_soon(self._under_cursor)

    # User actions

    def action_rename(self) -> None:
        """Rename the thread under the cursor."""
        self._act_on_thread(self._rename)

    def action_delete(self) -> None:
        """Move the thread under the cursor to the trash."""
        self._act_on_thread(self._delete)

    def action_export(self) -> None:
        """Export the thread under the cursor to a file."""
        self._act_on_thread(self._export)

    def action_undo(self) -> None:
        """Restore the thread that was deleted last."""
        self._act(self._undo)

    def action_trash(self) -> None:
        """Show the trash, to restore a thread."""
        self._act(self._choose_from_trash)

    async def _rename(self, thread: SavedThread) -> _ActionResult:
        title = await self._ask(RenamePanel(thread.title))
        if title is not None:
            await self._actions.rename(thread, title)
        return _ActionResult()

    async def _delete(self, thread: SavedThread) -> _ActionResult:
        await self._actions.delete(thread)
        return _ActionResult(f"{_quote_title(thread)} is in the trash. ctrl+z restores it.")

    async def _export(self, thread: SavedThread) -> _ActionResult:
        choice = await self._ask(FormatPicker(FORMATS))
        if choice is None:
            return _ActionResult()
        name, text = await self._actions.export(thread, choice.value)
        path = await self._ask(SaveAsPanel(name, text))
        return _ActionResult(f"Saved in {path}" if path is not None else "")

    async def _undo(self) -> _ActionResult:
        thread = await self._actions.undo_delete()
        return _ActionResult(
            f"{_quote_title(thread)} is restored." if thread else _NOTHING_DELETED, thread
        )

    async def _choose_from_trash(self) -> _ActionResult:
        thread = await self._ask(TrashPicker(await self._actions.list_trash()))
        if thread is None:
            return _ActionResult()
        await self._actions.restore(thread)
        return _ActionResult(f"{_quote_title(thread)} is restored.", thread)

    async def _ask(self, panel: Panel[Answer]) -> Answer | None:
        """Show a panel and return its result; None if this panel is no longer active."""
        if not self.is_active:
            return None
        answer: asyncio.Future[Answer | None] = asyncio.get_running_loop().create_future()

        def on_result(result: Answer | None) -> None:
            if not answer.done():
                answer.set_result(result)

        # Textual's `push_screen_wait` would run callbacks of the app in this worker: the removal of
        # this panel among them, so that the end of the worker would cancel the end of the app.
        self.app.push_screen(panel, on_result)
        return await answer

    def _act_on_thread(self, action: Callable[[SavedThread], Awaitable[_ActionResult]]) -> None:
        thread = line_thread(self._under_cursor)
        if thread is not None:
            self._act(lambda: action(thread))

    def _act(self, action: Callable[[], Awaitable[_ActionResult]]) -> None:
        """Run one action at a time, because keys may be faster than disk writes."""
        if not self._acting:
            self._acting = True
            self.run_worker(self._run_one(action), group="act")

    async def _run_one(self, action: Callable[[], Awaitable[_ActionResult]]) -> None:
        result = _ActionResult()
        try:
            result = await action()
            self._choices = await self._actions.list_threads()
        except Exception as error:
            problem = str(error) or type(error).__name__
            self.notify(problem, severity="error")
        finally:
            self._acting = False
        self._fill()
        if result.thread is not None:
            self._go_to(result.thread)
        self._show_message(result.message)


def _quote_title(thread: SavedThread) -> str:
    return f"“{truncate(safe_line(thread.title), 30)}”"
