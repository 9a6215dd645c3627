"""The Textual app: startup, app-wide actions, shutdown."""

import asyncio
import signal
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path, PurePath
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import events
from textual.app import SystemCommand
from textual.binding import Binding
from textual.dom import DOMNode
from textual.screen import Screen

from koel_tui.conversation.background_jobs import BackgroundJobs
from koel_tui.limits import LINE_LENGTH
from koel_tui.system.memory_tuning import GcControl
from koel_tui.system.signals import EXIT_SAVE_FAILED, SIGNAL_EXIT, Signals
from koel_tui.text import safe_text
from koel_tui.ui import internals
from koel_tui.ui.app.main_screen import MainScreen, Services
from koel_tui.ui.app.terminal_alert import TerminalAlert
from koel_tui.ui.app.themes import UserThemes
from koel_tui.ui.app.thread_opener import ThreadOpener
from koel_tui.ui.composer.external_editor import ExternalEditor
from koel_tui.ui.conversation.conversation_pane import ConversationPane
from koel_tui.ui.conversation.copying import Copier
from koel_tui.ui.conversation.link_panels import LinkOpener
from koel_tui.ui.keys.hints import key_of
from koel_tui.ui.keys.key_table import KEYS, Owner, bindings, display_names
from koel_tui.ui.keys.keymap import KeyMap
from koel_tui.ui.models.model_download import ModelDownload
from koel_tui.ui.models.model_switcher import ModelSwitcher
from koel_tui.ui.transcript.notice_rows import NoticeRows
from koel_tui.ui.transcript.text_column import limit_lines
from koel_tui.workspace.recovery import RestoredWork, place_drafts, remove_files, restore
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.saved_threads import conflict_messages
from koel_tui.workspace.shutdown import close_within_deadline, save_for_recovery
from koel_tui.workspace.window_state import WindowState

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.system.forced_exit import ForcedExit

_UI = Path(__file__).parents[1]
_PACKAGES = (
    "app", "conversation", "transcript", "composer", "widgets", "library", "settings", "models",
)  # fmt: skip
"""The packages with a style sheet; a later one wins where selectors are equally specific."""
_QUIT_TIMEOUT = 2.0
LOW_BANDWIDTH_INTERVAL = 0.2
"""Minimum seconds between two repaints in low-bandwidth mode."""
_CHECK_INTERVAL = 1.0
_WATCHERS = "watchers"
"""The group of the workers that run until the app is closed."""


class KoelApp(internals.AppBase):
    """The complete app. `connect` creates its backend and is called after the first paint."""

    TITLE = "koel-chat"
    CSS_PATH: ClassVar[list[str | PurePath]] = [_UI / name / f"{name}.tcss" for name in _PACKAGES]
    BINDINGS = bindings("app")

    def __init__(
        self,
        connect: "Callable[[], Backend]",
        *,
        thread: str | None = None,
        theme: str | None = None,
        home: Path | None = None,
        low_bandwidth: bool = False,
        notify: bool = True,
        line_length: int = LINE_LENGTH,
        keymap: KeyMap | None = None,
        themes: Path | None = None,
        flags: Mapping[str, object] | None = None,
        forced_exit: "ForcedExit | None" = None,
    ) -> None:
        """`home` is the directory of the saved tabs and the history; None disables saving them.

        `low_bandwidth` repaints less often and sends only what changed. `notify` alerts the user
        when an answer ends while the terminal is not focused. `line_length` is the maximum length
        of the lines of messages in columns; 0 is the width of the window.
        """
        super().__init__()
        limit_lines(self, line_length)
        if low_bandwidth:
            self.enable_screen_diff()
        self._terminal_alert = TerminalAlert(
            lambda text: internals.write_to_terminal(self, text), enabled=notify
        )
        self._window_state = WindowState(home, partial(self.notify, severity="error"))
        self._runtime = Runtime(self._request_repaint)
        self._download = ModelDownload(self._request_repaint)
        self._background_jobs = BackgroundJobs(self._request_repaint)
        self._copier = Copier(self)
        self._main = self._create_main(LOW_BANDWIDTH_INTERVAL if low_bandwidth else 0.0)
        self._pane = self._main.pane
        self._workspace = self._main.workspace
        (keymap or KeyMap()).bind(self, self._action_nodes)
        self._connect = connect
        self._requested_thread, self._requested_theme = thread, theme
        self._user_themes = UserThemes(themes, partial(self.notify, severity="warning"))
        self._flags = flags or {}
        self._quit_pressed_at = float("-inf")
        self._is_shutting_down = self._is_shown = False
        self._unclosed: Backend | None = None
        self._forced_exit = forced_exit
        self._signals = Signals(self._shut_down, forced_exit)
        self._editor = ExternalEditor(self, self._pane.prompt, self._signals)
        self._thread_opener = ThreadOpener(self, self._main, self._runtime)
        self._gc_control = GcControl(lambda: internals.drop_dead_references(self))
        self._model_switcher = ModelSwitcher(self, self._runtime, self._download, self._repaint)

    def _create_main(self, interval: float) -> MainScreen:
        """Return the main screen; `interval` is the minimum seconds between two repaints."""
        pane = ConversationPane(
            self._runtime,
            self._copier,
            LinkOpener(self, self._copier.copy_text),
            self._window_state.append_history,
            interval,
        )
        services = Services(
            self._runtime,
            self._window_state,
            self._background_jobs,
            self._download,
            self._terminal_alert,
        )
        return MainScreen(services, pane, interval, self._show_tabs)

    @property
    def _action_nodes(self) -> Mapping[Owner, DOMNode]:
        """The nodes with the actions of keys."""
        pane = self._pane
        return {"app": self, "screen": self._main, "pane": pane, "prompt": pane.prompt}

    def get_default_screen(self) -> MainScreen:
        """Return the main screen."""
        return self._main

    @property
    def fatal_error(self) -> BaseException | None:
        """The exception that crashed the app, else the error that kept the model from loading."""
        return self.crash or self._runtime.problem

    def on_load(self) -> None:
        """Install the signal handlers before any terminal mode changes."""
        self._signals.install()

    async def _show_tabs(self) -> None:
        """Show the last session's tabs, still empty; slow work starts after their first paint."""
        if self._requested_theme and self._requested_theme not in self.available_themes:
            await self._user_themes.register(self)  # now, so that the first paint uses it
        if self._requested_theme in self.available_themes:
            self.theme = self._requested_theme
        elif self._requested_theme:
            from koel_tui.ui.settings.settings_store import unknown_theme_message

            self.notify(unknown_theme_message(self._requested_theme))
        self._pane.prompt.focus()
        self._workspace.restore(await self._window_state.load_tabs(), self._pane.prompt.pastes)
        if self._requested_thread is not None and not self._workspace.is_full:
            self._workspace.new()  # placeholder tab for the requested thread
        await self._main.show_active()
        self.set_interval(_CHECK_INTERVAL, self._check)
        self.run_worker(
            self._window_state.save_changes(self._main.open_tabs, self._request_repaint),
            group=_WATCHERS,
        )
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
        self._thread_opener.show_list()

    def action_help(self) -> None:
        """Show all key bindings."""
        from koel_tui.ui.app.help_panel import HelpPanel

        self.push_screen(HelpPanel(internals.active_keys(*self._action_nodes.values())))

    def action_program_settings(self) -> None:
        """Show the program settings for editing."""
        from koel_tui.ui.settings.settings_panel import SettingsPanel
        from koel_tui.ui.settings.settings_store import SettingsStore

        effects: Mapping[str, Callable[[Any], None]] = {
            "theme": partial(setattr, self, "theme"),
            "notify": partial(setattr, self._terminal_alert, "enabled"),
            "titles": self._runtime.enable_titles,
            "line_length": partial(limit_lines, self),
        }
        store = SettingsStore(self._flags, effects, self.available_themes)
        self.push_screen(SettingsPanel(store))

    def action_choose_model(self) -> None:
        """Choose a model from this computer or a download."""
        self._model_switcher.show_models()

    def action_edit_prompt(self) -> None:
        """Edit the prompt in an external editor, which uses the terminal until it exits."""
        self._editor.start()

    async def action_copy_or_quit(self) -> None:
        """Copy the selected text; without a selection, quit when pressed twice."""
        from koel_tui.ui.internals.selected_text import selected_text

        if selected := selected_text(self.screen):
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
            return
        if monotonic() - self._quit_pressed_at < _QUIT_TIMEOUT:
            await self.action_quit()
            return
        self._quit_pressed_at = monotonic()
        self._main.show_hint(f"press {key_of(self, 'copy_or_quit')} again to quit")
        self.set_timer(_QUIT_TIMEOUT, lambda: self._main.show_hint(""))

    async def action_quit(self) -> None:
        """Save everything, then quit; when called again, quit without waiting for the save."""
        if self._is_shutting_down:
            self.exit(0)
        self._shut_down(0)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Return the commands of the palette."""
        from koel_tui.ui.app.command_palette import commands

        return commands(self, self._action_nodes)

    def get_key_display(self, binding: Binding) -> str:
        """Return the name of a key in the footer, written as in all other texts."""
        return display_names([binding.key])[0]

    # Implementation

    def _check(self) -> None:
        """Check what has no event: a lost terminal, the bytes of a download, unused memory."""
        if internals.is_terminal_gone(self):
            self._shut_down(SIGNAL_EXIT + signal.SIGHUP)
        if self._download.progress.status_text:
            self._request_repaint()
        if not any(conversation.is_busy for conversation in self._workspace.tabs):
            self._gc_control.collect()

    async def _watch_saves(self, backend: "Backend") -> None:
        """Show the state after each save, and report conflicts with other programs."""
        reported = 0
        async for _ in backend.client.saves():
            self._request_repaint()
            for line in conflict_messages(backend.storage, reported):
                reported += 1
                self.notify(line, severity="warning")

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
            self.run_worker(self._watch_saves(backend), group=_WATCHERS)
            self._workspace.connect(backend)
            await self._restore_work(restored)
            await self._main.show_active()  # its thread is available now
            await self._thread_opener.check_saved(backend, self._requested_thread)
            await self._runtime.load()
            if self._runtime.advice:
                self.notify(self._runtime.advice, severity="warning")
            if self._runtime.lacks_model and not self._pane.prompt.text:
                self._model_switcher.show_models_unasked()
            self._background_jobs.connect(backend)
            self._runtime.start_indexing()
            await self._runtime.empty_trash()
        self._main.on_conversation_changed(self._workspace.active)

    async def _restore_work(self, restored: RestoredWork) -> None:
        """Restore work that an earlier session could not save, and report it."""
        self._pane.store_draft()
        place_drafts(restored, self._workspace, self._pane.prompt.pastes, self._pane.restore_text)
        await self._window_state.save_now(self._main.open_tabs())
        for problem in restored.problems:
            self.notify(problem, severity="error")
        if restored.message:
            self.notify(restored.message)
        if not self._window_state.problem:
            await asyncio.to_thread(remove_files, restored)

    def copy_to_clipboard(self, text: str) -> None:
        """Copy the selected text by the best available method."""
        self._copier.set_internal_clipboard(text)  # first: the next key may already paste it
        self.run_worker(self._copier.copy_text(text))

    # Textual event handlers

    def on_resize(self, event: events.Resize) -> None:
        """Keep messages and prompt visible in a low terminal, also below a panel."""
        self._main.limit_rows(event.size.height)

    async def on_notice_rows_selected(self, event: NoticeRows.Selected) -> None:
        """Run the action of a clicked notice."""
        if event.notice.template:
            await self._pane.retry_with_template(event.notice.template)
            return
        key = next(key for key in KEYS if key.id == event.notice.action)
        await self.run_action(key.action, self._action_nodes[key.owner])

    def on_app_blur(self, event: events.AppBlur) -> None:
        """Prevent Textual from restyling every widget when the terminal loses the focus."""
        event.prevent_default()
        self._terminal_alert.on_blur()

    def on_app_focus(self, event: events.AppFocus) -> None:
        """Prevent the same restyle when the terminal regains the focus; the prompt kept focus."""
        event.prevent_default()
        self._terminal_alert.on_focus()

    def _request_repaint(self) -> None:
        self._main.request_repaint()

    def _repaint(self) -> None:
        self._main.on_conversation_changed(self._workspace.active)

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
        self._main.show_hint("Saving…")
        self.run_worker(self._save_and_exit(code))

    async def _save_and_exit(self, code: int) -> None:
        if problem := await self._close(signalled=bool(code)):
            self.exit(EXIT_SAVE_FAILED, EXIT_SAVE_FAILED, Text(safe_text(problem)))
            return
        if self._forced_exit is not None:
            self._forced_exit.set_exit_code(code)
        left = self._editor.left_text
        self.exit(code, code, Text(safe_text(left)) if left else None)

    async def _close(self, *, signalled: bool = False) -> str:
        self.workers.cancel_group(self, _WATCHERS)  # `close_within_deadline` saves the tabs
        await self._editor.end()
        await self._background_jobs.close()
        await self._download.close()
        backend, self._runtime.backend = self._runtime.backend, None
        self._workspace.disconnect()
        tabs = self._main.open_tabs()
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
            self._thread_opener.operations,
            signalled=signalled,
        )
        self._unclosed = None
        return problem
