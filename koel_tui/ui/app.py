"""The window: tabs, the transcript of the one in front, the prompt, the status line."""

from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult, SystemCommand
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.widgets import Footer, Markdown, Tabs

from koel_tui.text import safe_line, safe_text
from koel_tui.ui import inside
from koel_tui.ui.conversation import Conversation
from koel_tui.ui.copier import Copier
from koel_tui.ui.desk import Desk
from koel_tui.ui.keys import KEYS, PROMPT_KEYS, bindings
from koel_tui.ui.leaving import EXIT_SAVE_FAILED, Signals, close_in_time
from koel_tui.ui.pane import Pane
from koel_tui.ui.startup import Startup
from koel_tui.ui.status import StatusLine
from koel_tui.ui.summary import label_of, status_of
from koel_tui.ui.tabbar import TabBar
from koel_tui.ui.throttle import Throttle, in_queue_of

if TYPE_CHECKING:
    from koel_tui.ui.backend import Backend
    from koel_tui.ui.saved import SavedThread

_QUIT_WITHIN = 2.0
_PAINT_INTERVAL = 0.1
_LOOK_INTERVAL = 1.0


class KoelApp(inside.QuietApp):
    """The whole window. `connect` makes what it talks to, and is called after the first paint."""

    TITLE = "koel-chat"
    CSS_PATH = Path(__file__).with_name("koel.tcss")
    BINDINGS = bindings(KEYS)

    def __init__(
        self,
        connect: "Callable[[], Backend]",
        *,
        thread: str | None = None,
        theme: str | None = None,
    ) -> None:
        super().__init__()
        inside.teach_alt_keys(name for key in (*KEYS, *PROMPT_KEYS) for name in key.names)
        # A label that changes would move the line under the tabs for a third of a second.
        self.animation_level = "none"
        self._connect = connect
        self._wanted_thread = thread
        self._wanted_theme = theme
        self._startup = Startup(self._poke)
        self._desk = Desk(self)
        self._copier = Copier(self, self._tell)
        self._hint = ""
        self._asked_to_quit = float("-inf")
        self._leaving = False
        self._signals = Signals(self._leave)
        self._tabbar = TabBar(label_of(self._desk.active, unread=False))
        self._pane = Pane()
        self._statusline = StatusLine(status_of(self._desk.active, self._startup, self._hint))
        self._painting = Throttle(in_queue_of(self), self._paint, _PAINT_INTERVAL)

    @property
    def fatal(self) -> BaseException | None:
        """What ended the window, else what kept the model from being there, if anything did."""
        return self.crash or self._startup.problem

    def compose(self) -> ComposeResult:
        """Yield the parts of the window, top to bottom."""
        yield self._tabbar
        yield self._pane
        yield self._statusline
        yield Footer(show_command_palette=False)

    async def on_mount(self) -> None:
        """Show the empty window; all that takes time comes after it is painted."""
        if self._wanted_theme in self.available_themes:
            self.theme = self._wanted_theme
        elif self._wanted_theme:
            self._tell(f"There is no theme {self._wanted_theme!r}; ctrl+p, Theme lists all.")
        self._signals.catch()
        self._pane.prompt.focus()
        await self._show_active()
        self.set_interval(_LOOK_INTERVAL, self._poke)  # saving ends without an event
        self.call_after_refresh(self.run_worker, self._start)

    async def on_unmount(self) -> None:
        """Give the signals back, and save what an unforeseen end left unsaved."""
        self._signals.release()
        await self._close()

    # What conversations tell

    def changed(self, conversation: Conversation) -> None:
        """Paint a conversation anew: its label always, its messages where they are in view."""
        if conversation.answered:
            self._startup.recover()
        self._pane.changed(conversation)
        self._poke()

    def ended(self, conversation: Conversation) -> None:
        """Mark a tab whose run ended out of sight."""
        self._desk.tabs.mark_unread(conversation)
        self.changed(conversation)

    def returned(self, conversation: Conversation, text: str) -> None:
        """Put text back where the user writes, before what is there already."""
        self._pane.give_back(conversation, text)

    def notice(self) -> str:
        """Return what is wrong for all conversations alike."""
        return self._startup.notice

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

    def on_markdown_link_clicked(self, event: Markdown.LinkClicked) -> None:
        """Show where a link leads; nothing of a model's is opened."""
        self._tell(f"This link leads to {event.href}")

    async def action_new_tab(self) -> None:
        """Open an empty tab."""
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

    def action_stop(self) -> None:
        """Stop the answer being written in the tab in front."""
        self._desk.active.stop()

    def action_scroll(self, where: str) -> None:
        """Scroll the transcript while the prompt keeps the focus."""
        self._pane.scroll_messages(where)

    def action_open(self) -> None:
        """Choose a saved thread and open it."""
        if self._startup.backend is None:
            self._tell("Saved threads can be opened as soon as the start is over.")
        else:
            self.run_worker(self._choose(self._startup.backend), group="choose", exclusive=True)

    def action_help(self) -> None:
        """Show every key."""
        from koel_tui.ui.help import Help

        self.push_screen(Help(inside.keys_by_id(self, self._pane.prompt)))

    def action_fold(self) -> None:
        """Unfold thinking and calls in the tab in front, or fold them again."""
        self._desk.active.fold()

    async def action_copy_answer(self) -> None:
        """Copy the newest answer of the tab in front."""
        await self._copier.answer(self._desk.active.last_answer)

    async def action_copy_code(self) -> None:
        """Copy a code block of the newest answer, from the last one on."""
        await self._copier.next_code(self._desk.active.last_answer)

    async def action_copy_or_quit(self) -> None:
        """Quit at the second press; a selection was copied before this is reached."""
        if monotonic() - self._asked_to_quit < _QUIT_WITHIN:
            await self.action_quit()
            return
        self._asked_to_quit = monotonic()
        self._hint = "press ctrl+c again to quit"
        self.set_timer(_QUIT_WITHIN, self._forget_hint)
        self._poke()

    async def action_quit(self) -> None:
        """Save everything and quit; asked again, quit at once: who asks twice will not wait."""
        if self._leaving:
            self.exit(0)
        self._leave(0)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Return the commands of the palette."""
        from koel_tui.ui.commands import commands

        return commands(self)

    # What Textual asks or tells

    def on_app_blur(self, event: events.AppBlur) -> None:
        """Keep Textual from restyling every widget when the terminal loses the focus."""
        event.prevent_default()

    def on_app_focus(self, event: events.AppFocus) -> None:
        """The same when it gets it back; the prompt kept the focus."""
        event.prevent_default()

    def copy_to_clipboard(self, text: str) -> None:
        """Copy a selection the best way there is."""
        self._copier.remember(text)  # before any key after this one may paste it
        self.run_worker(self._copier.text(text))

    # How it works

    async def _start(self) -> None:
        backend = await self._startup.connect(self._connect)
        if backend is not None and self._leaving:
            await backend.close()
            return
        if backend is not None:
            self._desk.connect(backend)
            await self._look_at_saved(backend)
            await self._startup.load()
        self.changed(self._desk.active)

    async def _look_at_saved(self, backend: "Backend") -> None:
        """Open the thread asked for at the start, and tell of files that cannot be read."""
        from koel_tui.ui.saved import find_thread

        threads = await self._saved_threads(backend)
        for thread in threads:
            if thread.damage:
                self._tell(f"{thread.title} is damaged and was left out: {thread.damage}", "error")
        if self._wanted_thread is None:
            return
        found = find_thread(threads, self._wanted_thread)
        if isinstance(found, str):
            self._tell(f"{found} ctrl+o lists all.", "warning")
        else:
            self.call_later(self._picked, found)

    async def _choose(self, backend: "Backend") -> None:
        from koel_tui.ui.picker import Picker

        await self.push_screen(Picker(await self._saved_threads(backend)), self._picked)

    async def _saved_threads(self, backend: "Backend") -> "list[SavedThread]":
        from koel_tui.ui.saved import saved_threads

        try:
            return await saved_threads(backend.storage)
        except Exception as error:
            self._tell(f"The saved threads cannot be listed: {error}", "error")
            return []

    async def _picked(self, thread: "SavedThread | None") -> None:
        if thread is not None:
            self._pane.put_away()
            await self._open(self._desk.open(thread.id, thread.title))

    async def _open(self, opening: Awaitable[object]) -> None:
        try:
            await opening
        except Exception as error:
            self._tell(f"The thread cannot be opened: {error}", "error")
        await self._show_active()

    async def _show_active(self) -> None:
        """Bring the window in line with the tab in front."""
        with self.batch_update():  # one layout for both
            await self._pane.show(self._desk.active)
            await self._paint()

    async def _paint(self) -> None:
        tabs = self._desk.tabs
        labels = [label_of(conversation, tabs.is_unread(conversation)) for conversation in tabs]
        await self._tabbar.show_labels(labels, tabs.active.key)
        self._statusline.show(status_of(tabs.active, self._startup, self._hint))

    def _poke(self) -> None:
        if self.is_running:
            self._painting.poke()

    def _tell(self, text: str, severity: SeverityLevel = "information") -> None:
        self.notify(safe_line(text, 400), severity=severity, markup=False)

    def _forget_hint(self) -> None:
        self._hint = ""
        self._poke()

    def _leave(self, code: int) -> None:
        # A terminal that closes sends its signal twice: the second one must not cut the saving.
        if not self._leaving:
            self._leaving = True
            self._hint = "Saving…"
            self._poke()
            self.run_worker(self._save_and_exit(code))

    async def _save_and_exit(self, code: int) -> None:
        problem = await self._close()
        if problem:
            self.exit(EXIT_SAVE_FAILED, EXIT_SAVE_FAILED, Text(safe_text(problem)))
        else:
            self.exit(code, code)

    async def _close(self) -> str:
        backend, self._startup.backend = self._startup.backend, None
        return "" if backend is None else await close_in_time(backend, self._desk)
