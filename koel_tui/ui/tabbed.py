"""The window from the inside: its tabs, what conversations tell, and what the user does there."""

from collections.abc import Awaitable
from pathlib import Path

from textual import events, on
from textual.app import ComposeResult
from textual.notifications import SeverityLevel
from textual.widgets import Footer, Tabs

from koel_tui.text import safe_line
from koel_tui.ui import inside
from koel_tui.ui.attention import Attention
from koel_tui.ui.background import Background
from koel_tui.ui.banner import Banner
from koel_tui.ui.conversation import Conversation
from koel_tui.ui.copier import Copier
from koel_tui.ui.desk import Desk, TooManyTabsError
from koel_tui.ui.file_prompt import FilePrompt
from koel_tui.ui.hints import key_of
from koel_tui.ui.memory import Memory
from koel_tui.ui.open_tabs import OpenTabs
from koel_tui.ui.pane import Pane
from koel_tui.ui.reader import Reader
from koel_tui.ui.startup import Startup
from koel_tui.ui.status import StatusLine
from koel_tui.ui.summary import label_of, status_of
from koel_tui.ui.tabbar import Label, TabBar
from koel_tui.ui.throttle import Throttle, in_queue_of
from koel_tui.ui.transcript import FLUSH_INTERVAL
from koel_tui.ui.unsaved import trouble_of
from koel_tui.ui.visitor import Visitor

_PAINT_INTERVAL = 0.2
_LOW = (9, 7, 5)
"""Rows below which there is no footer, no row of tabs, no status line."""
LOW_BANDWIDTH_INTERVAL = 0.2
"""Seconds between two paintings at least where every byte counts."""


class TabbedApp(inside.QuietApp):
    """A window of tabs and one prompt; how it begins and ends is for the app made of it."""

    def __init__(self, home: Path | None, *, low_bandwidth: bool, notify: bool) -> None:
        """Make the window. `home` is where it keeps its tabs and the history; None keeps none.

        With `low_bandwidth` it paints less often, for a terminal far away. With `notify` it calls
        a user who looks elsewhere when an answer ends.
        """
        super().__init__()
        self._attention = Attention(
            lambda text: inside.write_to_terminal(self, text), wanted=notify
        )
        self._memory = Memory(home, lambda problem: self._tell(problem, "error"))
        self._startup = Startup(self._poke)
        self._desk = Desk(self)
        self._background = Background(self._poke)
        self._copier = Copier(self, self._tell)
        self._visitor = Visitor(self, self._tell, self._copier.text)
        self._hint = ""
        self._tabbar = TabBar(label_of(self._desk.active, unread=False))
        if low_bandwidth:
            self.spare_the_line()
        slow = LOW_BANDWIDTH_INTERVAL if low_bandwidth else 0.0
        front, beside = (Reader(slow or FLUSH_INTERVAL, id=name) for name in ("messages", "beside"))
        prompt = FilePrompt(
            lambda text: self._pane.send(text), self._memory.remember, self._startup
        )
        self._pane = Pane(front, beside, prompt)
        self._statusline = StatusLine(status_of(self._desk.active, self._startup, self._hint))
        self._banner = Banner()
        self._footer = Footer(show_command_palette=False)
        self._painting = Throttle(in_queue_of(self), self._paint, slow or _PAINT_INTERVAL)

    def compose(self) -> ComposeResult:
        """Yield the parts of the window, top to bottom."""
        yield self._tabbar
        yield self._pane
        yield self._banner
        yield self._statusline
        yield self._footer

    # What conversations tell

    def changed(self, conversation: Conversation) -> None:
        """Paint a conversation anew: its label always, its messages where they are in view."""
        if conversation.answered:
            self._startup.recover()
        self._background.give_way(any(each.busy for each in self._desk.tabs))
        self._pane.changed(conversation)
        self._poke()

    def ended(self, conversation: Conversation) -> None:
        """Mark a tab whose run ended out of sight, and have a title found for a new thread."""
        self._desk.tabs.mark_unread(conversation)
        self._attention.call(conversation.title, failed=conversation.failed)
        backend = self._startup.backend
        if backend is not None and backend.titles and conversation.wants_title:
            from koel_tui.ui.asides import title_job

            self._background.add(title_job(conversation))
        self.changed(conversation)

    def returned(self, conversation: Conversation, text: str) -> None:
        """Put text back where the user writes, before what is there already."""
        self._pane.give_back(conversation, text)

    def notice(self) -> str:
        """Return what is wrong for all conversations alike."""
        return self._startup.notice

    def fitting_template(self) -> str:
        """Return the built-in chat template that fits the program's model, '' when none does."""
        return self._startup.fitting_template

    def lost(self, conversation: Conversation) -> None:
        """Say that a closed thread could not be saved."""
        why = conversation.save_problem
        self._tell(f"NOT SAVED: {conversation.title}: {why}", "error")

    # What the user does

    @on(Tabs.TabActivated)
    async def _tab_clicked(self) -> None:
        # Also told of our own changes, perhaps late: what counts is what the row shows now.
        clicked = next((c for c in self._desk.tabs if c.key == self._tabbar.active), None)
        if clicked is not None and self._desk.tabs.activate(clicked):
            await self._show_active()

    async def action_new_tab(self) -> None:
        """Open an empty tab."""
        if self._has_room():
            self._pane.put_away()
            self._desk.new()
            await self._show_active()

    async def action_close_tab(self) -> None:
        """Close the tab in front; its thread stays saved, and what is queued becomes draft."""
        self._desk.active.stop()
        self._pane.put_away()
        self._desk.close(self._desk.active)
        await self._show_active()

    async def action_reopen_tab(self) -> None:
        """Bring back the tab closed last."""
        self._pane.put_away()
        await self._open(self._desk.reopen())

    async def action_step_tab(self, distance: int) -> None:
        """Go so many tabs to the right."""
        self._desk.tabs.activate(self._desk.tabs.step(distance))
        await self._show_active()

    async def action_go_to_tab(self, number: int) -> None:
        """Go to the tab with this number, if there is one."""
        conversation = self._desk.tabs.at(number)
        if conversation is not None and self._desk.tabs.activate(conversation):
            await self._show_active()

    def action_find_tab(self) -> None:
        """Choose an open tab from a list and go there."""
        from koel_tui.ui.tab_picker import TabChoice, TabPicker, choices

        async def go(choice: TabChoice | None) -> None:
            if choice is not None and self._desk.tabs.activate(choice.conversation):
                await self._show_active()

        tabs = zip(self._desk.tabs, self._labels(), strict=True)
        self.push_screen(TabPicker(choices(tabs)), go)

    async def action_side_by_side(self) -> None:
        """Show another tab beside the one in front, which share the prompt; else part them."""
        tabs = self._desk.tabs
        if tabs.beside is not None:
            tabs.part()
        elif len(tabs) == 1:
            self._desk.add_beside()  # for two there is always room
        else:
            self._choose_beside()
            return
        await self._show_active()

    def _choose_beside(self) -> None:
        from koel_tui.ui.tab_picker import BesidePicker, TabChoice, besides

        async def join(choice: TabChoice | None) -> None:
            if choice is None:
                return
            if choice.conversation is not self._desk.active:
                self._desk.tabs.join(choice.conversation)
            elif self._has_room():
                self._desk.add_beside()
            await self._show_active()

        tabs = zip(self._desk.tabs, self._labels(), strict=True)
        self.push_screen(BesidePicker(besides(tabs, self._desk.active)), join)

    async def action_swap(self) -> None:
        """Swap the two tabs that are shown side by side; the prompt stays as it is."""
        front, beside = self._desk.active, self._desk.tabs.beside
        if beside is None:
            self._tell(f"No tab is shown beside this one: {key_of(self, 'tab.beside')} shows one.")
            return
        self._pane.put_away()
        moves = front.revision is None and beside.revision is None  # else each keeps its own
        left = beside.draft
        if moves:
            beside.draft = front.draft
        self._desk.tabs.activate(beside)
        await self._show_active()
        if moves:
            front.draft = left

    async def action_move_tab(self, distance: int) -> None:
        """Move the tab in front so many places to the right."""
        self._desk.tabs.move(distance)
        await self._paint()

    # What Textual asks or tells

    def on_resize(self, event: events.Resize) -> None:
        """Leave the room of a window that has become too low to the prompt and the messages."""
        for part, rows in zip((self._footer, self._tabbar, self._statusline), _LOW, strict=True):
            part.display = event.size.height >= rows

    def on_app_blur(self, event: events.AppBlur) -> None:
        """Keep Textual from restyling every widget when the terminal loses the focus."""
        event.prevent_default()
        self._attention.look_away()

    def on_app_focus(self, event: events.AppFocus) -> None:
        """The same when it gets it back; the prompt kept the focus."""
        event.prevent_default()
        self._attention.look_back()

    # How it works

    async def _open(self, opening: Awaitable[object]) -> None:
        try:
            await opening
        except Exception as error:
            self._tell(f"The thread cannot be opened: {error}", "error")
        await self._show_active()

    async def _show_active(self) -> None:
        """Bring the window in line with the tab in front."""
        with self.batch_update():  # one layout for both
            await self._pane.show(self._desk.active, self._desk.tabs.beside)
            await self._paint()
        for conversation in (self._desk.active, self._desk.tabs.beside):
            if conversation is not None and conversation.asleep:
                self.run_worker(self._wake(conversation))

    async def _wake(self, conversation: Conversation) -> None:
        try:
            await self._desk.wake(conversation)
        except Exception as error:
            self._tell(f"The thread of a tab cannot be opened: {error}", "error")
            self._pane.put_away()
            self._desk.sweep(conversation)
            await self._show_active()
        self.changed(conversation)

    def _has_room(self) -> bool:
        """Say whether another tab may be opened, to the user too."""
        if self._desk.full:
            self._tell(str(TooManyTabsError()), "warning")
        return not self._desk.full

    def _open_tabs(self) -> OpenTabs:
        """Return the tabs as they are to be kept."""
        self._pane.keep_draft()
        return self._desk.kept(self._pane.prompt.pastes)

    async def _paint(self) -> None:
        tabs = self._desk.tabs
        labels = self._labels()
        await self._tabbar.show_labels(labels, tabs.active.key)
        names = {label.id: f"{label.title} {label.mark}" for label in labels}
        beside = tabs.beside
        self._pane.head(
            names[tabs.active.key] if beside is not None else "",
            names[beside.key] if beside is not None else "",
        )
        self._banner.show(trouble_of(self._startup.backend, self._desk, self._memory))
        aside = self._background.words
        self._statusline.show(status_of(tabs.active, self._startup, self._hint, aside))

    def _labels(self) -> list[Label]:
        tabs = self._desk.tabs
        return [label_of(conversation, tabs.is_unread(conversation)) for conversation in tabs]

    def _poke(self) -> None:
        if self.is_running:
            self._painting.poke()

    def _tell(self, text: str, severity: SeverityLevel = "information") -> None:
        self.notify(safe_line(text, 400), severity=severity, markup=False)
