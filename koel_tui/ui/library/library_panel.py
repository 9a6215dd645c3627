"""The panel of saved threads: search, preview, open, rename, delete, export."""

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
from koel_tui.text import safe_line
from koel_tui.ui.keys.key_table import close_binding
from koel_tui.ui.library.exporting import FORMATS, FormatPicker
from koel_tui.ui.library.preview import Preview
from koel_tui.ui.library.renaming import RenamePanel
from koel_tui.ui.library.result_lines import Line, TextHit, key_of, option_of, placed, thread_of
from koel_tui.ui.library.text_search import TextSearch
from koel_tui.ui.widgets.panel import Answer, Panel
from koel_tui.ui.widgets.picker import MOST_SHOWN, Field, Picker, PickerTexts
from koel_tui.ui.widgets.save_as_panel import SaveAsPanel
from koel_tui.workspace.saved_threads import SavedThread

if TYPE_CHECKING:
    from koel_tui.workspace.thread_operations import ThreadOperations

_WIDE = 100
"""Width in columns from which on the preview is shown."""
_FRAME = 5
"""Rows of the panel that do not belong to the list."""
_KEYS = "f2 rename · ^d delete · ^s export · ^t trash"
_KEYS_WITH_UNDO = f"{_KEYS} · ^z undo"


@dataclass(frozen=True, slots=True)
class _Done:
    """The result of an action: a message, and the thread to move the cursor to, if any."""

    words: str = ""
    thread: SavedThread | None = None


class TrashPicker(Picker[SavedThread]):
    """The threads in the trash, to restore one."""

    WORDING = PickerTexts("Trash", "Type to find a thread", "The trash is empty", "brings it back")
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+t", "dismiss", show=False)]


class _Field(Field):
    """The search field; it leaves ctrl+d to the list, while the delete key edits its text."""

    LEFT = Field.LEFT | {"ctrl+d"}


class LibraryPanel(Picker[SavedThread]):
    """Lists the saved threads. Returns the thread to open with the position in it, or None."""

    WORDING = PickerTexts(
        "Saved threads",
        "Type to find a thread",
        "Nothing is saved yet",
        "opens",
        "No thread has these words",
    )
    FIELD = _Field
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
        reading: Callable[[], str],
    ) -> None:
        """`reading` returns the progress of the search index while it is being built."""
        super().__init__(threads)
        self._actions = actions
        self._search = TextSearch(self, actions.index, reading, self._fill, self._tell_state)
        self._lines: list[Line] = []
        self._acting = False
        self._preview = Preview(actions.load_state)
        self._columns = Horizontal(self._list, self._preview, id="columns")
        self._state = Static(id="state")
        self._keys = Static(id="keys")

    def parts(self) -> Iterable[Widget]:
        """Return the field, the search state, the list with the preview, and the key hints."""
        return self._find, self._state, self._columns, self._keys

    def on_mount(self) -> None:
        """Show the key hints."""
        self._show_keys()

    # List

    def on_resize(self, event: events.Resize) -> None:
        """Show the preview if the panel is wide enough."""
        self._preview.display = event.size.width >= _WIDE

    @on(Input.Changed)
    def _look_for(self) -> None:
        self._lines = []  # a new query starts at the first line
        self._search.begin(self._find.value)
        self._tell_state()

    def _tell_state(self) -> None:
        self._say(self._search.state)

    def _show_keys(self) -> None:
        self._keys.update(_KEYS_WITH_UNDO if self._actions.deleted else _KEYS)

    def _say(self, text: str) -> None:
        self._state.update(Content(safe_line(text)))

    def _chosen(self, index: int) -> SavedThread | None:
        return thread_of(self._lines[index]) if index < len(self._lines) else None

    def _fill(self) -> None:
        before, place = self._under_cursor, self._list.highlighted or 0
        words = self._typed.casefold().split()
        found = [thread for thread in self._choices if thread.matches(words)]
        titles = found[:MOST_SHOWN]
        hits = list(placed(self._search.hits, self._choices, {each.id for each in titles}))
        self._lines = [*titles, *([None] if hits else []), *hits]
        height = max(1, self.size.height * 9 // 10 - _FRAME)
        self._list.styles.max_height = height
        self._columns.styles.height = height if self._preview.display else "auto"
        self._list.clear_options()
        width = self._list.scrollable_content_region.width
        self._list.add_options(option_of(line, width) for line in self._lines)
        self._list.action_first()
        if before is None:
            self._list.scroll_home(animate=False)  # show the heading too
        elif not self._go_to(before):
            self._go_near(place)
        self._panel.border_subtitle = self._hint(len(found) or len(hits))
        self._look()

    def _go_to(self, wanted: SavedThread | TextHit) -> bool:
        """Move the cursor to this line; return False if it is not listed."""
        for index, line in enumerate(self._lines):
            if key_of(line) == key_of(wanted):
                self._list.highlighted = index
                return True
        return False

    def _go_near(self, place: int) -> None:
        """Move the cursor to this index, or to the nearest enabled line above it."""
        for index in range(min(place, len(self._lines) - 1), 0, -1):
            if not self._list.get_option_at_index(index).disabled:
                self._list.highlighted = index
                return

    @property
    def _under_cursor(self) -> SavedThread | TextHit | None:
        index = self._list.highlighted
        return self._lines[index] if index is not None and index < len(self._lines) else None

    @on(OptionList.OptionHighlighted)
    def _look(self) -> None:
        self._preview.look_at(self._under_cursor)

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

    async def _rename(self, thread: SavedThread) -> _Done:
        title = await self._asked(RenamePanel(thread.title))
        if title is not None:
            await self._actions.rename(thread, title)
        return _Done()

    async def _delete(self, thread: SavedThread) -> _Done:
        await self._actions.delete(thread)
        return _Done(f"{_named(thread)} is in the trash, ^z undoes that")

    async def _export(self, thread: SavedThread) -> _Done:
        choice = await self._asked(FormatPicker(FORMATS))
        if choice is None:
            return _Done()
        name, text = await self._actions.export(thread, choice.value)
        path = await self._asked(SaveAsPanel(name, text))
        return _Done(f"Saved in {path}" if path is not None else "")

    async def _undo(self) -> _Done:
        thread = await self._actions.undo_delete()
        return _Done(f"{_named(thread)} is back" if thread else "Nothing was deleted here", thread)

    async def _choose_from_trash(self) -> _Done:
        thread = await self._asked(TrashPicker(await self._actions.list_trash()))
        if thread is None:
            return _Done()
        await self._actions.restore(thread)
        return _Done(f"{_named(thread)} is back", thread)

    async def _asked(self, panel: Panel[Answer]) -> Answer | None:
        """Show a panel and return its result; None if this panel is no longer active."""
        if not self.is_active:
            return None
        return await self.app.push_screen_wait(panel)

    def _act_on_thread(self, deed: Callable[[SavedThread], Awaitable[_Done]]) -> None:
        thread = thread_of(self._under_cursor)
        if thread is not None:
            self._act(lambda: deed(thread))

    def _act(self, deed: Callable[[], Awaitable[_Done]]) -> None:
        """Run one action at a time, because keys may be faster than disk writes."""
        if not self._acting:
            self._acting = True
            self.run_worker(self._do(deed), group="act")

    async def _do(self, deed: Callable[[], Awaitable[_Done]]) -> None:
        done = _Done()
        try:
            done = await deed()
            self._choices = await self._actions.list_threads()
        except Exception as error:
            problem = safe_line(str(error) or type(error).__name__, 400)
            self.notify(problem, severity="error", markup=False)
        finally:
            self._acting = False
        self._show_keys()
        self._fill()
        if done.thread is not None:
            self._go_to(done.thread)
        self._say(done.words)


def _named(thread: SavedThread) -> str:
    return f"“{truncate(safe_line(thread.title), 30)}”"
