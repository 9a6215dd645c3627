"""The app's tabs and layout, the callbacks of conversations, and the actions on tabs."""

from collections.abc import Awaitable
from pathlib import Path
from weakref import WeakKeyDictionary

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.notifications import SeverityLevel
from textual.widgets import Footer, Tabs

from koel_tui.conversation.background_jobs import BackgroundJobs
from koel_tui.conversation.conversation import Conversation
from koel_tui.text import safe_line
from koel_tui.ui import internals
from koel_tui.ui.app.save_banner import SaveBanner
from koel_tui.ui.app.status_line import StatusLine
from koel_tui.ui.app.summary import status_for, tab_label
from koel_tui.ui.app.tab_bar import Label, TabBar
from koel_tui.ui.app.terminal_alert import TerminalAlert
from koel_tui.ui.composer.file_prompt import FilePrompt
from koel_tui.ui.conversation.conversation_pane import ConversationPane
from koel_tui.ui.conversation.copying import Copier
from koel_tui.ui.conversation.link_panels import LinkOpener
from koel_tui.ui.conversation.transcript_column import Positions, TranscriptColumn
from koel_tui.ui.keys.hints import key_of
from koel_tui.ui.keys.key_table import display_names
from koel_tui.ui.models.model_download import ModelDownload
from koel_tui.ui.transcript.transcript import FLUSH_INTERVAL
from koel_tui.ui.widgets.throttle import Throttle, queue_scheduler
from koel_tui.workspace.open_tabs import OpenTabs
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.unsaved import current_problem
from koel_tui.workspace.window_state import WindowState
from koel_tui.workspace.workspace import TooManyTabsError, Workspace

_PAINT_INTERVAL = 0.2
_MIN_HEIGHTS = (9, 7, 5)
"""Minimum terminal height in rows for the footer, the tab bar and the status line."""
LOW_BANDWIDTH_INTERVAL = 0.2
"""Minimum seconds between two repaints in low-bandwidth mode."""


class TabbedApp(internals.AppBase):
    """An app with tabs and one prompt; subclasses add startup and shutdown."""

    def __init__(self, home: Path | None, *, low_bandwidth: bool, notify: bool) -> None:
        """`home` is the directory of the saved tabs and the history; None disables saving them.

        `low_bandwidth` reduces the repaint rate, for slow connections. `notify` alerts the user
        when an answer ends while the terminal is not focused.
        """
        super().__init__()
        self._terminal_alert = TerminalAlert(
            lambda text: internals.write_to_terminal(self, text), enabled=notify
        )
        self._window_state = WindowState(home, lambda problem: self._notify(problem, "error"))
        self._runtime = Runtime(self._request_repaint)
        self._download = ModelDownload(self._request_repaint)
        self._workspace = Workspace(self)
        self._background_jobs = BackgroundJobs(self._request_repaint)
        self._copier = Copier(self, self._notify)
        self._link_opener = LinkOpener(self, self._notify, self._copier.copy_text)
        self._hint = ""
        self._tab_bar = TabBar(tab_label(self._workspace.active, unread=False))
        if low_bandwidth:
            self.enable_line_diff()
        slow = LOW_BANDWIDTH_INTERVAL if low_bandwidth else 0.0
        positions: Positions = WeakKeyDictionary()
        front, beside = (
            TranscriptColumn(
                slow or FLUSH_INTERVAL, positions, lambda: self._runtime.program_model, id=name
            )
            for name in ("messages", "beside")
        )
        prompt = FilePrompt(
            lambda text: self._pane.send(text), self._window_state.append_history, self._runtime
        )
        self._pane = ConversationPane(front, beside, prompt, positions)
        self._status_line = StatusLine(
            status_for(self._workspace.active, self._runtime, self._hint)
        )
        self._banner = SaveBanner()
        self._footer = Footer(show_command_palette=False)
        self._repaint_throttle = Throttle(
            queue_scheduler(self), self._paint, slow or _PAINT_INTERVAL
        )

    def compose(self) -> ComposeResult:
        """Yield the widgets, top to bottom."""
        yield self._tab_bar
        yield self._pane
        yield self._banner
        yield self._status_line
        yield self._footer

    def get_key_display(self, binding: Binding) -> str:
        """Return the name of a key in the footer, written as in all other texts."""
        return display_names([binding.key])[0]

    # Callbacks of conversations

    def on_conversation_changed(self, conversation: Conversation) -> None:
        """Repaint the label of a conversation, and its messages if they are visible."""
        if conversation.has_answered:
            self._runtime.clear_problem()
        self._background_jobs.pause_while_busy(any(each.is_busy for each in self._workspace.tabs))
        self._pane.changed(conversation)
        self._request_repaint()

    def on_run_ended(self, conversation: Conversation) -> None:
        """Mark a tab unread if it is not visible, alert the user, queue a title job if needed."""
        self._workspace.tabs.mark_unread(conversation)
        self._terminal_alert.notify(conversation.title, failed=conversation.has_failed)
        backend = self._runtime.backend
        if backend is not None and backend.titles and conversation.needs_title:
            from koel_tui.conversation.titles_and_summaries import title_job

            self._background_jobs.add(title_job(conversation))
        self.on_conversation_changed(conversation)

    def on_text_returned(self, conversation: Conversation, text: str) -> None:
        """Insert returned text into the prompt, before its current text."""
        self._pane.restore_text(conversation, text)

    def on_save_failed(self, conversation: Conversation) -> None:
        """Report that a closed thread could not be saved."""
        why = conversation.save_problem
        self._notify(f"NOT SAVED: {conversation.title}: {why}", "error")

    # User actions

    @on(Tabs.TabActivated)
    async def _on_tab_clicked(self) -> None:
        # Textual also posts this event, possibly late, for our own changes, so only the active tab
        # counts.
        clicked = next((c for c in self._workspace.tabs if c.key == self._tab_bar.active), None)
        if clicked is not None and self._workspace.tabs.activate(clicked):
            await self._show_active()

    async def action_new_tab(self) -> None:
        """Open an empty tab."""
        if self._can_open_tab():
            self._pane.store_view_state()
            self._workspace.new()
            await self._show_active()

    async def action_close_tab(self) -> None:
        """Close the active tab; its thread stays saved, and queued texts become its draft."""
        self._workspace.active.stop()
        self._pane.store_view_state()
        self._workspace.close(self._workspace.active)
        await self._show_active()

    async def action_reopen_tab(self) -> None:
        """Reopen the tab that was closed last."""
        self._pane.store_view_state()
        await self._open(self._workspace.reopen())

    async def action_step_tab(self, distance: int) -> None:
        """Activate the tab `distance` positions to the right."""
        self._workspace.tabs.activate(self._workspace.tabs.step(distance))
        await self._show_active()

    async def action_go_to_tab(self, number: int) -> None:
        """Activate the tab with this number, if it exists."""
        conversation = self._workspace.tabs.at(number)
        if conversation is not None and self._workspace.tabs.activate(conversation):
            await self._show_active()

    def action_find_tab(self) -> None:
        """Choose an open tab from a list and activate it."""
        from koel_tui.ui.app.tab_picker import TabChoice, TabPicker, choices

        async def activate(choice: TabChoice | None) -> None:
            if choice is not None and self._workspace.tabs.activate(choice.conversation):
                await self._show_active()

        tabs = zip(self._workspace.tabs, self._labels(), strict=True)
        self.push_screen(TabPicker(choices(tabs)), activate)

    async def action_side_by_side(self) -> None:
        """Show a second tab side by side, with a shared prompt; if one is shown, hide it."""
        tabs = self._workspace.tabs
        if tabs.paired is not None:
            tabs.unpair()
        elif len(tabs) == 1:
            self._workspace.add_paired()  # two tabs are always within the limit
        else:
            self._choose_pair()
            return
        await self._show_active()

    def _choose_pair(self) -> None:
        from koel_tui.ui.app.tab_picker import PairPicker, TabChoice, pair_choices

        async def pair(choice: TabChoice | None) -> None:
            if choice is None:
                return
            if choice.conversation is not self._workspace.active:
                self._workspace.tabs.pair_with(choice.conversation)
            elif self._can_open_tab():
                self._workspace.add_paired()
            await self._show_active()

        tabs = zip(self._workspace.tabs, self._labels(), strict=True)
        self.push_screen(PairPicker(pair_choices(tabs, self._workspace.active)), pair)

    async def action_swap(self) -> None:
        """Swap the two tabs shown side by side; the prompt keeps its text."""
        front, beside = self._workspace.active, self._workspace.tabs.paired
        if beside is None:
            self._notify(f"No tab is shown side by side. {key_of(self, 'tab.beside')} shows one.")
            return
        self._pane.store_view_state()
        moves = (
            front.message_edit is None and beside.message_edit is None
        )  # else each keeps its own draft
        left = beside.draft
        if moves:
            beside.draft = front.draft
        self._workspace.tabs.activate(beside)
        await self._show_active()
        if moves:
            front.draft = left

    async def action_move_tab(self, distance: int) -> None:
        """Move the active tab `distance` positions to the right."""
        self._workspace.tabs.move(distance)
        await self._paint()

    # Textual event handlers

    def on_resize(self, event: events.Resize) -> None:
        """In a low terminal, hide footer, tab bar and status line to keep messages and prompt."""
        for part, rows in zip(
            (self._footer, self._tab_bar, self._status_line), _MIN_HEIGHTS, strict=True
        ):
            part.display = event.size.height >= rows

    def on_app_blur(self, event: events.AppBlur) -> None:
        """Prevent Textual from restyling every widget when the terminal loses the focus."""
        event.prevent_default()
        self._terminal_alert.on_blur()

    def on_app_focus(self, event: events.AppFocus) -> None:
        """Prevent the same restyle when the terminal regains the focus; the prompt kept focus."""
        event.prevent_default()
        self._terminal_alert.on_focus()

    # Implementation

    async def _open(self, opening: Awaitable[object]) -> None:
        try:
            await opening
        except Exception as error:
            self._notify(f"The thread cannot be opened: {error}", "error")
        await self._show_active()

    async def _show_active(self) -> None:
        """Update the widgets to show the active tab."""
        with self.batch_update():  # one layout pass for both
            await self._pane.show(self._workspace.active, self._workspace.tabs.paired)
            await self._paint()
        for conversation in (self._workspace.active, self._workspace.tabs.paired):
            if conversation is not None and conversation.is_unloaded:
                self.run_worker(self._load_thread(conversation))

    async def _load_thread(self, conversation: Conversation) -> None:
        try:
            await self._workspace.load(conversation)
        except Exception as error:
            self._notify(f"The thread of a tab cannot be opened: {error}", "error")
            self._pane.store_view_state()
            self._workspace.close_if_empty(conversation)
            await self._show_active()
        self.on_conversation_changed(conversation)

    def _can_open_tab(self) -> bool:
        """Return whether another tab may be opened; if not, notify the user."""
        if self._workspace.is_full:
            self._notify(str(TooManyTabsError()), "warning")
        return not self._workspace.is_full

    def _open_tabs(self) -> OpenTabs:
        """Return the tabs in the form in which they are saved."""
        self._pane.store_draft()
        return self._workspace.snapshot(self._pane.prompt.pastes)

    async def _paint(self) -> None:
        tabs = self._workspace.tabs
        labels = self._labels()
        await self._tab_bar.show_labels(labels, tabs.active.key)
        names = {label.id: f"{label.title} {label.mark}" for label in labels}
        beside = tabs.paired
        self._pane.set_titles(
            names[tabs.active.key] if beside is not None else "",
            names[beside.key] if beside is not None else "",
        )
        self._banner.show(
            current_problem(self._runtime.backend, self._workspace, self._window_state)
        )
        background_job = self._background_jobs.status_text
        download = self._download.progress.status_text
        self._status_line.show(
            status_for(tabs.active, self._runtime, self._hint, background_job, download)
        )

    def _labels(self) -> list[Label]:
        tabs = self._workspace.tabs
        return [tab_label(conversation, tabs.is_unread(conversation)) for conversation in tabs]

    def _request_repaint(self) -> None:
        if self.is_running:
            self._repaint_throttle.request()

    def _notify(self, text: str, severity: SeverityLevel = "information") -> None:
        self.notify(safe_line(text, 400), severity=severity, markup=False)
