"""A picker: a searchable list to choose one item, such as a saved thread or an open tab."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, TypeVar

from rich.cells import cell_len
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widget import Widget
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from koel_tui.formatting import truncate
from koel_tui.text import safe_line, search_words
from koel_tui.ui.internals import bindings_for, ignore_empty_list
from koel_tui.ui.widgets.choice import Choice
from koel_tui.ui.widgets.ordered_input import OrderedInput
from koel_tui.ui.widgets.panel import Panel

MAX_SHOWN = 200


@dataclass(frozen=True, slots=True)
class PickerTexts:
    """The texts of a picker."""

    title: str
    placeholder: str
    empty: str
    submit_label: str
    unmatched: str = "No title contains these words"


class FilterInput(OrderedInput):
    """The search field of a picker, which handles keys and letters in the order they were typed.

    Textual would resolve a binding only after the key has bubbled up, when later letters are
    already handled.
    """

    LIST_KEYS: ClassVar[frozenset[str]] = frozenset({"up", "down", "pageup", "pagedown"})
    """Keys that go to the list although an input binds them too."""

    class Pressed(Message):
        """Message: a key for the list was pressed."""

        def __init__(self, key: str) -> None:
            super().__init__()
            self.key = key

    async def on_key(self, event: events.Key) -> None:
        """Forward keys for the list through the message queue that letters use."""
        if event.key == "enter":
            await self.action_submit()
        elif bindings_for(self.screen, event.key) and (
            event.key in self.LIST_KEYS or not bindings_for(self, event.key)
        ):
            self.post_message(self.Pressed(event.key))
        else:
            await super().on_key(event)
            return
        event.stop()
        event.prevent_default()


Chosen = TypeVar("Chosen", bound=Choice)


class Picker(Panel[Chosen], Generic[Chosen]):
    """A panel with a list that typing filters. Returns the chosen item, or None."""

    TEXTS: ClassVar[PickerTexts]
    FIELD: ClassVar[type[FilterInput]] = FilterInput
    FRAME: ClassVar[int] = 4
    """The height of the panel without the list, in lines."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "Close"),
        Binding("up", "list('cursor_up')", show=False),
        Binding("down", "list('cursor_down')", show=False),
        Binding("pageup", "list('page_up')", show=False),
        Binding("pagedown", "list('page_down')", show=False),
    ]

    def __init__(self, choices: Sequence[Chosen]) -> None:
        super().__init__()
        self._choices = choices
        self._shown: list[Chosen] = []
        self._typed = ""  # the handled text; the field's value may be newer
        self._find = self.FIELD(placeholder=self.TEXTS.placeholder, id="find", compact=True)
        self._list = OptionList(id="choices", compact=True)
        self._panel = Vertical(id="panel")

    def compose(self) -> ComposeResult:
        """Yield the panel and its content."""
        with self._panel:
            yield from self.parts()

    def parts(self) -> Iterable[Widget]:
        """Return the widgets of the panel, top to bottom."""
        return self._find, self._list

    def on_mount(self) -> None:
        """Set the title and fill the list, because keys may arrive before the first layout."""
        self._panel.border_title = self.TEXTS.title
        self._fill()

    def on_resize(self, event: events.Resize) -> None:
        """Refill the list for the new width."""
        self.call_after_refresh(self._refill)

    def _refill(self) -> None:
        index = self._list.highlighted
        self._fill()
        self._list.highlighted = index

    @on(Input.Changed)
    def _filter(self, event: Input.Changed) -> None:
        self._typed = event.value
        self._fill()

    @on(FilterInput.Pressed)
    async def _press(self, event: FilterInput.Pressed) -> None:
        for binding in bindings_for(self, event.key):
            if self.is_active:
                await self.run_action(binding.action)

    @on(Input.Submitted)
    def _submit_highlighted(self) -> None:
        # Not by the list's message, which may arrive after the next letter has changed the list.
        choice = self.highlighted
        if choice is not None and choice.enabled:
            self._submit_if_active(choice)

    @on(OptionList.OptionSelected)
    def _submit_option(self, event: OptionList.OptionSelected) -> None:
        if event.option in self._list.options:  # else the list has changed since
            self._submit_if_active(self._choice_at(self._list.options.index(event.option)))

    def _submit_if_active(self, choice: Chosen | None) -> None:
        if self.is_active:  # an earlier key may have dismissed it
            self.submit(choice)

    def submit(self, choice: Chosen | None) -> None:
        """Handle enter on a choice: dismiss the panel with it."""
        self.dismiss(choice)

    @property
    def highlighted(self) -> Chosen | None:
        """The highlighted choice; None without one."""
        index = self._list.highlighted
        return None if index is None else self._choice_at(index)

    def set_choices(self, choices: Sequence[Chosen]) -> None:
        """Replace the choices; dismiss the panel if there are none."""
        self._choices = choices
        self._fill()
        if not choices:
            self.dismiss()

    async def action_list(self, action: str) -> None:
        """Run an action of the list while the field keeps the focus."""
        with ignore_empty_list():
            await self._list.run_action(action)

    def matching(self, query: str) -> list[Chosen]:
        """Return the choices that match the typed text."""
        words = search_words(query)
        return [choice for choice in self._choices if choice.matches(words)]

    @property
    def max_rows(self) -> int:
        """The maximum height of the list in lines."""
        return max(1, self.size.height * 9 // 10 - self.FRAME)

    def _choice_at(self, index: int) -> Chosen | None:
        """Return the choice on a line of the list."""
        return self._shown[index]

    def _fill(self) -> None:
        found = self.matching(self._typed)
        self._shown = found[:MAX_SHOWN]
        shown = self._list
        shown.styles.max_height = self.max_rows
        width = shown.scrollable_content_region.width
        shown.clear_options()
        shown.add_options(
            Option(format_line(choice.title, choice.detail, width), disabled=not choice.enabled)
            for choice in self._shown
        )
        shown.action_first()
        self._panel.border_subtitle = self._hint(len(found))

    def _hint(self, found: int) -> str:
        if not self._choices:
            return f"{self.TEXTS.empty} · esc closes"
        if not found:
            return f"{self.TEXTS.unmatched} · esc closes"
        more = f"{found - MAX_SHOWN} more, type to narrow · " if found > MAX_SHOWN else ""
        return f"{more}enter {self.TEXTS.submit_label} · esc closes"


def format_line(title: str, detail: str, width: int) -> Content:
    """Return a list line of `width` cells: the title, and the secondary text at the right end."""
    detail = truncate(safe_line(detail), max(0, width - 12))
    title = truncate(safe_line(title) or "(no title)", max(4, width - cell_len(detail) - 2))
    gap = " " * max(2, width - cell_len(title) - cell_len(detail))
    return Content.assemble(title, gap, (detail, "$foreground 60%"))
