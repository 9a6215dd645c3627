"""The saved threads: found by title or by what is said in them, looked into, opened, changed."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import events, on
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.notifications import SeverityLevel
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from koel_tui.text import safe_line
from koel_tui.ui.cells import fit
from koel_tui.ui.exporting import FORMATS, FormatPicker
from koel_tui.ui.hits import QUIET, TextHit, excerpt, placed
from koel_tui.ui.panels import TrashPicker
from koel_tui.ui.picker import MOST_SHOWN, Picker, Wording, line_of
from koel_tui.ui.preview import Preview, preview
from koel_tui.ui.renaming import TitlePanel
from koel_tui.ui.saved import SavedThread
from koel_tui.ui.saving import NamePanel
from koel_tui.ui.searching import Search

if TYPE_CHECKING:
    from koel_tui.ui.thread_actions import ThreadActions

_WIDE = 100
"""Columns from which there is room for a preview."""
_BRIEF = 56
"""Columns of the list below which less is said of a thread."""
_FRAME = 5
"""Lines of the panel that are not the list."""
_LOOK_AFTER = 0.1
_KEYS = "f2 rename · ^d delete · ^s export · ^t trash"
_KEYS_WITH_UNDO = f"{_KEYS} · ^z undo"

Line = SavedThread | TextHit | None
"""What stands on a line of the list; None is a heading."""


class Library(Picker[SavedThread]):
    """Lists the saved threads. Returns the one to open, and where, or None."""

    WORDING = Wording("Saved threads", "Type to find a thread", "Nothing is saved yet", "opens")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+o", "dismiss", show=False),
        Binding("f2,ctrl+r", "rename", show=False),
        # Before the field, which would take it for one of its own.
        Binding("ctrl+d,f8", "delete", show=False, priority=True),
        Binding("ctrl+z", "undo", show=False),
        Binding("ctrl+s,f7", "export", show=False),
        Binding("ctrl+t,f9", "trash", show=False),
    ]

    def __init__(
        self,
        threads: Sequence[SavedThread],
        actions: "ThreadActions",
        reading: Callable[[], str],
    ) -> None:
        """Make the panel; `reading` says how far the search index is, while it is being made."""
        super().__init__(threads)
        self._actions = actions
        self._search = Search(self, actions.index, reading, self._searched)
        self._lines: list[Line] = []
        self._acting = False
        self._looking: Timer | None = None
        self._preview = Preview()
        self._columns = Horizontal(self._list, self._preview, id="columns")
        self._state = Static(id="state")
        self._keys = Static(_KEYS, id="keys")

    def parts(self) -> Iterable[Widget]:
        """Yield the field, what is to be known of the search, the list beside the preview, keys."""
        return self._find, self._state, self._columns, self._keys

    # What is listed

    def on_resize(self, event: events.Resize) -> None:
        """Make room for a preview where there is some."""
        self._preview.display = event.size.width >= _WIDE

    @on(Input.Changed)
    def _look_for(self) -> None:
        self._search.begin(self._find.value)
        self._tell_state()

    def _searched(self) -> None:
        self._tell_state()
        self._fill()

    def _tell_state(self) -> None:
        self._state.update(Content.styled(safe_line(self._search.state), QUIET))

    def _chosen(self, index: int) -> SavedThread | None:
        return _thread_of(self._lines[index])

    def _fill(self) -> None:
        before = self._under_cursor
        words = self._find.value.casefold().split()
        found = [thread for thread in self._choices if thread.matches(words)]
        titles = found[:MOST_SHOWN]
        hits = list(placed(self._search.hits, self._choices, {each.id for each in titles}))
        self._lines = [*titles, *([None] if hits else []), *hits]
        height = max(1, self.size.height * 9 // 10 - _FRAME)
        self._list.styles.max_height = height
        self._columns.styles.height = height if self._preview.display else "auto"
        self._list.clear_options()
        width = self._list.scrollable_content_region.width
        self._list.add_options(_option(line, width) for line in self._lines)
        self._list.action_first()
        if before is not None:
            self._go_to(before)
        self._panel.border_subtitle = self._hint(len(found) or len(hits))

    def _go_to(self, wanted: SavedThread | TextHit) -> None:
        """Put the cursor where it was, whatever came before it."""
        for index, line in enumerate(self._lines):
            if _key(line) == _key(wanted):
                self._list.highlighted = index
                return

    @property
    def _under_cursor(self) -> SavedThread | TextHit | None:
        index = self._list.highlighted
        return self._lines[index] if index is not None and index < len(self._lines) else None

    # What is seen of a thread

    @on(OptionList.OptionHighlighted)
    def _look_soon(self) -> None:
        if self._looking is not None:
            self._looking.stop()
        self._looking = self.set_timer(_LOOK_AFTER, self._look) if self._preview.display else None

    def _look(self) -> None:
        line = self._under_cursor
        if line is None:
            self._preview.show(Content(""))
        else:
            self.run_worker(self._show(line), group="preview", exclusive=True)

    async def _show(self, line: SavedThread | TextHit) -> None:
        thread, hit = (line.thread, line.hit) if isinstance(line, TextHit) else (line, None)
        try:
            state = await self._actions.state_of(thread.id)
        except Exception as error:
            self._preview.show(Content.styled(safe_line(str(error), 400), "$text-error"))
        else:
            self._preview.show(preview(state.messages, hit))

    # What the user does

    def action_rename(self) -> None:
        """Give the thread under the cursor another title."""
        self._act_on_thread(self._rename)

    def action_delete(self) -> None:
        """Throw the thread under the cursor away."""
        self._act_on_thread(self._delete)

    def action_export(self) -> None:
        """Write the thread under the cursor to a file."""
        self._act_on_thread(self._export)

    def action_undo(self) -> None:
        """Bring back the thread that was deleted last."""
        self._act(self._undo)

    def action_trash(self) -> None:
        """Show what was deleted, to bring it back."""
        self._act(self._choose_from_trash)

    async def _rename(self, thread: SavedThread) -> None:
        title = await self.app.push_screen_wait(TitlePanel(thread.title))
        if title is not None:
            await self._actions.rename(thread, title)

    async def _delete(self, thread: SavedThread) -> None:
        await self._actions.delete(thread)
        self._tell(f"{_named(thread)} is in the trash. ctrl+z in the list brings it back.")

    async def _export(self, thread: SavedThread) -> None:
        choice = await self.app.push_screen_wait(FormatPicker(FORMATS))
        if choice is None:
            return
        name, text = await self._actions.exported(thread, choice.form)
        path: Path | None = await self.app.push_screen_wait(NamePanel(name, text))
        if path is not None:
            self._tell(f"{_named(thread)} is saved in {path}")

    async def _undo(self) -> None:
        thread = await self._actions.undo()
        self._tell(f"{_named(thread)} is back." if thread else "Nothing was deleted here.")

    async def _choose_from_trash(self) -> None:
        thread = await self.app.push_screen_wait(TrashPicker(await self._actions.trashed()))
        if thread is not None:
            await self._actions.restore(thread)
            self._tell(f"{_named(thread)} is back.")

    def _act_on_thread(self, deed: Callable[[SavedThread], Awaitable[None]]) -> None:
        thread = _thread_of(self._under_cursor)
        if thread is not None:
            self._act(lambda: deed(thread))

    def _act(self, deed: Callable[[], Awaitable[None]]) -> None:
        """Do one thing at a time: keys come faster than a disk writes."""
        if not self._acting:
            self._acting = True
            self.run_worker(self._do(deed), group="act")

    async def _do(self, deed: Callable[[], Awaitable[None]]) -> None:
        try:
            await deed()
            self._choices = await self._actions.threads()
        except Exception as error:
            self._tell(str(error) or type(error).__name__, "error")
        finally:
            self._acting = False
        self._keys.update(_KEYS_WITH_UNDO if self._actions.deleted else _KEYS)
        self._fill()

    def _tell(self, text: str, severity: SeverityLevel = "information") -> None:
        self.notify(safe_line(text, 400), severity=severity, markup=False)


def _option(line: Line, width: int) -> Option:
    """Return a line of the list, or two for a hit, as wide as there is room."""
    if line is None:
        return Option(Content.styled("in the text", QUIET), disabled=True)
    thread = line.thread if isinstance(line, TextHit) else line
    aside = thread.brief if width < _BRIEF or isinstance(line, TextHit) else thread.aside
    content = line_of(thread.title, aside, width)
    if isinstance(line, TextHit):
        content = Content.assemble(content, "\n  ", excerpt(line.hit, width - 2))
    return Option(content, disabled=not thread.takeable)


def _thread_of(line: Line) -> SavedThread | None:
    return line.thread if isinstance(line, TextHit) else line


def _key(line: Line) -> tuple[bool, str, str]:
    """Return what tells a line from the others, whatever is said of its thread."""
    thread = _thread_of(line)
    return (isinstance(line, TextHit), thread.id, thread.at) if thread else (False, "", "")


def _named(thread: SavedThread) -> str:
    return f"“{fit(safe_line(thread.title), 30)}”"
