"""The Textual app: startup, app-wide actions, shutdown."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path, PurePath
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual.app import SuspendNotSupported, SystemCommand
from textual.screen import Screen
from textual.worker import WorkerError

from koel_tui.conversation.drafts import join_texts
from koel_tui.system.memory_tuning import GcControl
from koel_tui.text import safe_text
from koel_tui.ui import internals
from koel_tui.ui.app.conversing import ConversingApp
from koel_tui.ui.app.themes import UserThemes
from koel_tui.ui.keys.hints import key_of
from koel_tui.ui.keys.key_table import KEYS, bindings
from koel_tui.ui.keys.keymap import KeyMap
from koel_tui.ui.models.model_switcher import ModelSwitcher
from koel_tui.workspace.recovery import RestoredWork, place_drafts, remove_files, restore
from koel_tui.workspace.saved_threads import conflict_messages
from koel_tui.workspace.shutdown import (
    EXIT_SAVE_FAILED,
    SIGNAL_EXIT,
    Signals,
    close_within_deadline,
    save_for_recovery,
)

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.system.forced_exit import ForcedExit
    from koel_tui.workspace.saved_threads import SavedThread
    from koel_tui.workspace.thread_operations import ThreadOperations

_UI = Path(__file__).parents[1]
_PACKAGES = (
    "app", "conversation", "transcript", "composer", "widgets", "library", "settings", "models",
)  # fmt: skip
"""The packages with a style sheet; a later one wins where selectors are equally specific."""
_QUIT_TIMEOUT = 2.0
_POLL_INTERVAL = 1.0
_EDITOR = "editor"
"""Worker group of the external editor."""


class KoelApp(ConversingApp):
    """The complete app. `connect` creates its backend and is called after the first paint."""

    TITLE = "koel-chat"
    CSS_PATH: ClassVar[list[str | PurePath]] = [_UI / name / f"{name}.tcss" for name in _PACKAGES]
    BINDINGS = bindings(KEYS)

    def __init__(
        self,
        connect: "Callable[[], Backend]",
        *,
        thread: str | None = None,
        theme: str | None = None,
        home: Path | None = None,
        low_bandwidth: bool = False,
        notify: bool = True,
        keymap: KeyMap | None = None,
        themes: Path | None = None,
        flags: Mapping[str, object] | None = None,
        forced_exit: "ForcedExit | None" = None,
    ) -> None:
        super().__init__(home, low_bandwidth=low_bandwidth, notify=notify)
        internals.survive_terminal_loss()
        internals.tolerate_invalid_utf8()
        internals.install_output_sanitizer()
        (keymap or KeyMap()).bind(self, self._pane.prompt)
        # Textual would animate the underline of the tabs for 0.3 s at every label change.
        self.animation_level = "none"
        self._connect = connect
        self._requested_thread = thread
        self._requested_theme = theme
        self._user_themes = UserThemes(themes, lambda problem: self._notify(problem, "warning"))
        self._flags = flags or {}
        self._operations: ThreadOperations | None = None
        self._conflicts_reported = 0
        self._quit_pressed_at = float("-inf")
        self._is_shutting_down = False
        self._exit_message = ""
        self._unclosed: Backend | None = None
        self._is_shown = False
        self._forced_exit = forced_exit
        self._signals = Signals(self._shut_down, forced_exit)
        self._gc_control = GcControl(lambda: internals.drop_dead_references(self))
        self._model_switcher = ModelSwitcher(
            self, self._runtime, self._download, self._notify, self._repaint
        )

    @property
    def fatal_error(self) -> BaseException | None:
        """The exception that crashed the app, else the error that kept the model from loading."""
        return self.crash or self._runtime.problem

    def on_load(self) -> None:
        """Install the signal handlers before any terminal mode changes."""
        self._signals.install()

    async def on_mount(self) -> None:
        """Show the last session's tabs, still empty; slow work starts after their first paint."""
        if self._requested_theme and self._requested_theme not in self.available_themes:
            await self._user_themes.register(self)  # now, so that the first paint uses it
        if self._requested_theme in self.available_themes:
            self.theme = self._requested_theme
        elif self._requested_theme:
            from koel_tui.ui.settings.settings_store import unknown_theme_message

            self._notify(unknown_theme_message(self._requested_theme))
        self._pane.prompt.focus()
        self._workspace.restore(await self._window_state.load_tabs(), self._pane.prompt.pastes)
        if self._requested_thread is not None and not self._workspace.is_full:
            self._workspace.new()  # placeholder tab for the requested thread
        await self._show_active()
        self.set_interval(_POLL_INTERVAL, self._poll)
        self.call_after_refresh(self.run_worker, self._start)
        self._is_shown = True

    async def on_unmount(self) -> None:
        """Restore the signal handlers and the title; after a crash, save unsaved work."""
        self._is_shutting_down = True  # a signal must not start a second shutdown
        self._terminal_alert.on_focus()
        if problem := await self._close():
            self.add_exit_message(problem, EXIT_SAVE_FAILED)
        elif self.crash is not None:
            self.add_exit_message("Your threads are saved.")
        self._signals.restore()
        self._gc_control.stop()

    # User actions

    def action_open(self) -> None:
        """Show the saved threads and open the chosen one."""
        if self._runtime.backend is None:
            self._notify_starting()
        else:
            self.run_worker(self._choose(self._runtime.backend), group="choose", exclusive=True)

    def action_help(self) -> None:
        """Show all key bindings."""
        from koel_tui.ui.app.help_panel import HelpPanel

        self.push_screen(HelpPanel(internals.active_keys(self, self._pane.prompt)))

    def action_stats(self) -> None:
        """Show the statistics of the active thread and the memory use of the model."""
        from koel_tui.ui.conversation.stats_panel import StatsPanel

        self.push_screen(StatsPanel(self._workspace.active, self._runtime))

    def action_program_settings(self) -> None:
        """Show the program settings for editing."""
        from koel_tui.ui.settings.settings_panel import SettingsPanel
        from koel_tui.ui.settings.settings_store import SettingsStore

        effects: Mapping[str, Callable[[Any], None]] = {
            "theme": partial(setattr, self, "theme"),
            "notify": partial(setattr, self._terminal_alert, "enabled"),
            "titles": self._runtime.enable_titles,
        }
        store = SettingsStore(self._flags, effects, self.available_themes)
        self.push_screen(SettingsPanel(store))

    def action_choose_model(self) -> None:
        """Choose a model from this computer or a download."""
        self._model_switcher.show_models()

    def action_edit_prompt(self) -> None:
        """Edit the prompt in an external editor, which uses the terminal until it exits."""
        self.run_worker(self._edit_prompt(), group=_EDITOR)

    async def action_copy_or_quit(self) -> None:
        """Copy the selected text; without a selection, quit when pressed twice."""
        if selected := self.screen.get_selected_text():
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
            return
        if monotonic() - self._quit_pressed_at < _QUIT_TIMEOUT:
            await self.action_quit()
            return
        self._quit_pressed_at = monotonic()
        self._hint = f"press {key_of(self, 'copy_or_quit')} again to quit"
        self.set_timer(_QUIT_TIMEOUT, self._clear_hint)
        self._request_repaint()

    async def action_quit(self) -> None:
        """Save everything, then quit; when called again, quit without waiting for the save."""
        if self._is_shutting_down:
            self.exit(0)
        self._shut_down(0)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Return the commands of the palette."""
        from koel_tui.ui.app.command_palette import commands

        return commands(self, internals.active_keys(self))

    # Implementation

    def _poll(self) -> None:
        """Poll for changes without an event: save state, conflicts, drafts, terminal loss."""
        if internals.is_terminal_gone(self):
            self._shut_down(SIGNAL_EXIT + signal.SIGHUP)
        self._request_repaint()
        if len(self.screen_stack) > 1:
            self.screen.refresh()  # the screen below the panel may have changed
        self._report_conflicts()
        if not self._is_shutting_down:
            self._window_state.save_soon(self._open_tabs())
        if not any(conversation.is_busy for conversation in self._workspace.tabs):
            self._gc_control.collect()

    def _report_conflicts(self) -> None:
        if self._runtime.backend is not None:
            for line in conflict_messages(self._runtime.backend.storage, self._conflicts_reported):
                self._conflicts_reported += 1
                self._notify(line, "warning")

    async def _start(self) -> None:
        self._pane.prompt.load_history(await self._window_state.load_history())
        await self._user_themes.register(self)
        backend = await self._runtime.connect(self._connect)
        self._gc_control.start()
        if backend is not None and self._is_shutting_down:
            await backend.close()
            return
        if backend is not None:
            restored = await restore(backend)
            if self._is_shutting_down:
                return  # the recovery file is kept, so the next start restores the work
            self._workspace.connect(backend)
            await self._restore_work(restored)
            await self._show_active()  # its thread is available now
            await self._check_saved_threads(backend)
            await self._runtime.load()
            if self._runtime.advice:
                self._notify(self._runtime.advice, "warning")
            if self._runtime.lacks_model and not self._pane.prompt.text:
                self._model_switcher.show_models_unasked()
            self._background_jobs.connect(backend)
            self._runtime.start_indexing()
            await self._runtime.empty_trash()
        self.on_conversation_changed(self._workspace.active)

    async def _restore_work(self, restored: RestoredWork) -> None:
        """Restore work that an earlier session could not save, and report it."""
        self._pane.store_draft()
        place_drafts(restored, self._workspace, self._pane.prompt.pastes, self._pane.restore_text)
        await self._window_state.save_now(self._open_tabs())
        for problem in restored.problems:
            self._notify(problem, "error")
        if restored.message:
            self._notify(restored.message)
        if not self._window_state.problem:
            await asyncio.to_thread(remove_files, restored)

    async def _check_saved_threads(self, backend: "Backend") -> None:
        """Open the thread requested at startup, and report damaged files."""
        from koel_tui.workspace.saved_threads import find_thread, saved_threads

        threads = await self._list_threads(saved_threads(backend.storage))
        for thread in threads:
            if thread.damage:
                self._notify(f"{thread.title} is damaged and was skipped: {thread.damage}", "error")
        if self._requested_thread is None:
            return
        found = find_thread(threads, self._requested_thread)
        if isinstance(found, str):
            self._notify(f"{found} {key_of(self, 'tab.open')} lists all.", "warning")
        else:
            self.call_later(self._open_requested, found)

    async def _open_requested(self, thread: "SavedThread") -> None:
        empty = self._workspace.active
        await self._open_picked(thread)
        self._workspace.close_if_empty(empty)
        await self._show_active()

    async def _choose(self, backend: "Backend") -> None:
        from koel_tui.ui.library.library_panel import LibraryPanel
        from koel_tui.workspace.thread_operations import ThreadOperations

        if self._operations is None:
            self._operations = ThreadOperations(
                backend,
                self._workspace,
                self.on_conversation_changed,
                lambda problem: self._notify(problem, "error"),
            )
        actions = self._operations
        threads = await self._list_threads(actions.list_threads())
        await self.push_screen(
            LibraryPanel(threads, actions, lambda: self._runtime.idle_text), self._open_picked
        )

    async def _list_threads(self, listing: "Awaitable[list[SavedThread]]") -> "list[SavedThread]":
        try:
            return await listing
        except Exception as error:
            self._notify(f"The saved threads cannot be listed: {error}", "error")
            return []

    async def _open_picked(self, thread: "SavedThread | None") -> None:
        if thread is not None:
            self._pane.store_view_state()
            await self._open(self._workspace.open(thread.id, thread.title))
            if thread.message_id and self._workspace.active.thread_id == thread.id:
                self._pane.show_message(self._workspace.active, thread.message_id)

    async def _edit_prompt(self) -> None:
        from koel_tui.system.editor import EditorError, edit_in_editor, editor_command

        prompt = self._pane.prompt
        before = prompt.whole_text

        def restore_text(text: str, left: Path | None = None) -> None:
            # Keep text that was returned to the prompt while the editor was open.
            meanwhile = "" if prompt.whole_text == before else prompt.whole_text
            prompt.replace_whole_text(join_texts(meanwhile, text))
            if left is not None:
                self._exit_message = f"The edited text is in {left}."

        try:
            command = editor_command(os.environ)
            with self._signals.without_interrupt(), internals.suspend_app(self):
                text = await edit_in_editor(before, command, restore_text)
        except (EditorError, OSError, SuspendNotSupported) as error:
            self._notify(str(error), "error")
            return
        restore_text(text)

    async def _end_editing(self) -> None:
        """Terminate a running external editor and keep what it saved."""
        if editing := self.workers.cancel_group(self, _EDITOR):
            with suppress(WorkerError):  # the cancelled worker raises
                await self.workers.wait_for_complete(editing)

    def _repaint(self) -> None:
        self.on_conversation_changed(self._workspace.active)

    def _clear_hint(self) -> None:
        self._hint = ""
        self._request_repaint()

    def _shut_down(self, code: int) -> None:
        # A closing terminal sends SIGHUP twice; the second one must not interrupt the save.
        if self._is_shutting_down:
            return
        self._is_shutting_down = True
        if code and self._forced_exit is not None:
            self._forced_exit.schedule(EXIT_SAVE_FAILED)
        if not self._is_shown:  # nothing is painted yet; `on_unmount` closes everything
            self.exit(code, code)
            return
        self._hint = "Saving…"
        self._request_repaint()
        self.run_worker(self._save_and_exit(code))

    async def _save_and_exit(self, code: int) -> None:
        if problem := await self._close(signalled=bool(code)):
            self.exit(EXIT_SAVE_FAILED, EXIT_SAVE_FAILED, Text(safe_text(problem)))
            return
        if self._forced_exit is not None:
            self._forced_exit.set_exit_code(code)
        self.exit(code, code, Text(safe_text(self._exit_message)) if self._exit_message else None)

    async def _close(self, *, signalled: bool = False) -> str:
        await self._end_editing()
        await self._background_jobs.close()
        await self._download.close()
        backend, self._runtime.backend = self._runtime.backend, None
        self._workspace.disconnect()
        tabs = self._open_tabs()
        if backend is None and self._unclosed is not None:
            # The user quit without waiting for the first save.
            return await save_for_recovery(
                self._unclosed, self._workspace, self._window_state, tabs
            )
        self._unclosed = backend
        problem = await close_within_deadline(
            backend,
            self._workspace,
            self._window_state,
            tabs,
            self._operations,
            signalled=signalled,
        )
        self._unclosed = None
        return problem
