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
from koel_tui.ui.app.themes import OwnThemes
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
_STYLED = (
    "app", "conversation", "transcript", "composer", "widgets", "library", "settings", "models",
)  # fmt: skip
"""The packages with a style sheet; a later one wins where selectors are equally specific."""
_QUIT_WITHIN = 2.0
_LOOK_INTERVAL = 1.0
_EDITOR = "editor"
"""Worker group of the external editor."""


class KoelApp(ConversingApp):
    """The complete app. `connect` creates its backend and is called after the first paint."""

    TITLE = "koel-chat"
    CSS_PATH: ClassVar[list[str | PurePath]] = [_UI / name / f"{name}.tcss" for name in _STYLED]
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
        hard_end: "ForcedExit | None" = None,
    ) -> None:
        super().__init__(home, low_bandwidth=low_bandwidth, notify=notify)
        internals.outlive_terminal()
        internals.take_any_bytes()
        internals.wear_belt()
        (keymap or KeyMap()).bind(self, self._pane.prompt)
        # Textual would animate the underline of the tabs for 0.3 s at every label change.
        self.animation_level = "none"
        self._connect = connect
        self._wanted_thread = thread
        self._wanted_theme = theme
        self._own_themes = OwnThemes(themes, lambda problem: self._tell(problem, "warning"))
        self._flags = flags or {}
        self._actions: ThreadOperations | None = None
        self._conflicts = 0  # number reported so far
        self._asked_to_quit = float("-inf")
        self._leaving = False
        self._last_words = ""
        self._left_behind: Backend | None = None
        self._up = False
        self._hard_end = hard_end
        self._signals = Signals(self._leave, hard_end)
        self._garbage = GcControl(lambda: internals.forget_gone(self))
        self._models = ModelSwitcher(self, self._startup, self._download, self._tell, self._repaint)

    @property
    def fatal(self) -> BaseException | None:
        """The exception that crashed the app, else the error that kept the model from loading."""
        return self.crash or self._startup.problem

    def on_load(self) -> None:
        """Install the signal handlers before any terminal mode changes."""
        self._signals.install()

    async def on_mount(self) -> None:
        """Show the last session's tabs, still empty; slow work starts after their first paint."""
        if self._wanted_theme and self._wanted_theme not in self.available_themes:
            await self._own_themes.register(self)  # now, so that the first paint uses it
        if self._wanted_theme in self.available_themes:
            self.theme = self._wanted_theme
        elif self._wanted_theme:
            self._tell(f"There is no theme {self._wanted_theme!r}; Theme in the palette lists all.")
        self._pane.prompt.focus()
        self._desk.restore(await self._memory.load_tabs(), self._pane.prompt.pastes)
        if self._wanted_thread is not None and not self._desk.is_full:
            self._desk.new()  # placeholder tab for the requested thread
        await self._show_active()
        self.set_interval(_LOOK_INTERVAL, self._look)
        self.call_after_refresh(self.run_worker, self._start)
        self._up = True

    async def on_unmount(self) -> None:
        """Restore the signal handlers and the title; after a crash, save unsaved work."""
        self._leaving = True  # a signal must not start a second shutdown
        self._attention.look_back()
        if problem := await self._close():
            self.add_last_words(problem, EXIT_SAVE_FAILED)
        elif self.crash is not None:
            self.add_last_words("Your threads are saved.")
        self._signals.restore()
        self._garbage.end()

    # User actions

    def action_open(self) -> None:
        """Show the saved threads and open the chosen one."""
        if self._startup.backend is None:
            self._tell("Saved threads can be opened as soon as the start is over.")
        else:
            self.run_worker(self._choose(self._startup.backend), group="choose", exclusive=True)

    def action_help(self) -> None:
        """Show all key bindings."""
        from koel_tui.ui.app.help_panel import Help

        self.push_screen(Help(internals.keys_by_id(self, self._pane.prompt)))

    def action_figures(self) -> None:
        """Show the statistics of the active thread and the memory use of the model."""
        from koel_tui.ui.conversation.stats_panel import StatsPanel

        self.push_screen(StatsPanel(self._desk.active, self._startup))

    def action_program_settings(self) -> None:
        """Show the program settings for editing."""
        from koel_tui.ui.settings.settings_panel import SettingsPanel
        from koel_tui.ui.settings.settings_store import SettingsStore

        effects: Mapping[str, Callable[[Any], None]] = {
            "theme": partial(setattr, self, "theme"),
            "notify": partial(setattr, self._attention, "wanted"),
            "titles": self._startup.enable_titles,
        }
        store = SettingsStore(self._flags, effects, self.available_themes)
        self.push_screen(SettingsPanel(store))

    def action_choose_model(self) -> None:
        """Choose a model from this computer or a download."""
        self._models.offer()

    def action_edit_prompt(self) -> None:
        """Edit the prompt in an external editor, which uses the terminal until it exits."""
        self.run_worker(self._edit_prompt(), group=_EDITOR)

    async def action_copy_or_quit(self) -> None:
        """Copy the selected text; without a selection, quit when pressed twice."""
        if selected := self.screen.get_selected_text():
            self.copy_to_clipboard(selected)
            self.screen.clear_selection()
            return
        if monotonic() - self._asked_to_quit < _QUIT_WITHIN:
            await self.action_quit()
            return
        self._asked_to_quit = monotonic()
        self._hint = f"press {key_of(self, 'copy_or_quit')} again to quit"
        self.set_timer(_QUIT_WITHIN, self._forget_hint)
        self._poke()

    async def action_quit(self) -> None:
        """Save everything, then quit; when called again, quit without waiting for the save."""
        if self._leaving:
            self.exit(0)
        self._leave(0)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Return the commands of the palette."""
        from koel_tui.ui.app.command_palette import commands

        return commands(self, internals.keys_by_id(self))

    # Implementation

    def _look(self) -> None:
        """Poll for changes without an event: save state, conflicts, drafts, terminal loss."""
        if internals.terminal_gone(self):
            self._leave(SIGNAL_EXIT + signal.SIGHUP)
        self._poke()
        if len(self.screen_stack) > 1:
            self.screen.refresh()  # the screen below the panel may have changed
        self._tell_conflicts()
        if not self._leaving:
            self._memory.save_soon(self._open_tabs())
        if not any(conversation.is_busy for conversation in self._desk.tabs):
            self._garbage.tidy()

    def _tell_conflicts(self) -> None:
        if self._startup.backend is not None:
            for line in conflict_messages(self._startup.backend.storage, self._conflicts):
                self._conflicts += 1
                self._tell(line, "warning")

    async def _start(self) -> None:
        self._pane.prompt.recall(await self._memory.load_history())
        await self._own_themes.register(self)
        backend = await self._startup.connect(self._connect)
        self._garbage.begin()
        if backend is not None and self._leaving:
            await backend.close()
            return
        if backend is not None:
            returned = await restore(backend)
            if self._leaving:
                return  # the recovery file is kept, so the next start restores the work
            self._desk.connect(backend)
            await self._take_back(returned)
            await self._show_active()  # its thread is available now
            await self._look_at_saved(backend)
            await self._startup.load()
            if self._startup.advice:
                self._tell(self._startup.advice, "warning")
            if self._startup.lacks_model and not self._pane.prompt.text:
                self._models.offer_unasked()
            self._background.connect(backend)
            self._startup.start_indexing()
            await self._startup.empty_trash()
        self.on_conversation_changed(self._desk.active)

    async def _take_back(self, returned: RestoredWork) -> None:
        """Restore work that an earlier session could not save, and report it."""
        self._pane.keep_draft()
        place_drafts(returned, self._desk, self._pane.prompt.pastes, self._pane.give_back)
        await self._memory.save_now(self._open_tabs())
        for problem in returned.problems:
            self._tell(problem, "error")
        if returned.message:
            self._tell(returned.message)
        if not self._memory.problem:
            await asyncio.to_thread(remove_files, returned)

    async def _look_at_saved(self, backend: "Backend") -> None:
        """Open the thread requested at startup, and report damaged files."""
        from koel_tui.workspace.saved_threads import find_thread, saved_threads

        threads = await self._listed(saved_threads(backend.storage))
        for thread in threads:
            if thread.damage:
                self._tell(f"{thread.title} is damaged and was left out: {thread.damage}", "error")
        if self._wanted_thread is None:
            return
        found = find_thread(threads, self._wanted_thread)
        if isinstance(found, str):
            self._tell(f"{found} {key_of(self, 'tab.open')} lists all.", "warning")
        else:
            self.call_later(self._open_wanted, found)

    async def _open_wanted(self, thread: "SavedThread") -> None:
        empty = self._desk.active
        await self._picked(thread)
        self._desk.close_if_empty(empty)
        await self._show_active()

    async def _choose(self, backend: "Backend") -> None:
        from koel_tui.ui.library.library_panel import LibraryPanel
        from koel_tui.workspace.thread_operations import ThreadOperations

        if self._actions is None:
            self._actions = ThreadOperations(
                backend,
                self._desk,
                self.on_conversation_changed,
                lambda problem: self._tell(problem, "error"),
            )
        actions = self._actions
        threads = await self._listed(actions.list_threads())
        await self.push_screen(
            LibraryPanel(threads, actions, lambda: self._startup.idle_text), self._picked
        )

    async def _listed(self, listing: "Awaitable[list[SavedThread]]") -> "list[SavedThread]":
        try:
            return await listing
        except Exception as error:
            self._tell(f"The saved threads cannot be listed: {error}", "error")
            return []

    async def _picked(self, thread: "SavedThread | None") -> None:
        if thread is not None:
            self._pane.put_away()
            await self._open(self._desk.open(thread.id, thread.title))
            if thread.message_id and self._desk.active.thread_id == thread.id:
                self._pane.show_message(self._desk.active, thread.message_id)

    async def _edit_prompt(self) -> None:
        from koel_tui.system.editor import EditorError, edited, editor_command

        prompt = self._pane.prompt
        before = prompt.whole_text

        def put_back(text: str, left: Path | None = None) -> None:
            # Keep text that was returned to the prompt while the editor was open.
            meanwhile = "" if prompt.whole_text == before else prompt.whole_text
            prompt.replace_whole_text(join_texts(meanwhile, text))
            if left is not None:
                self._last_words = f"What the editor left is in {left}."

        try:
            command = editor_command(os.environ)
            with self._signals.without_interrupt(), internals.handed_over(self):
                text = await edited(before, command, put_back)
        except (EditorError, OSError, SuspendNotSupported) as error:
            self._tell(str(error), "error")
            return
        put_back(text)

    async def _end_editing(self) -> None:
        """Terminate a running external editor and keep what it saved."""
        if editing := self.workers.cancel_group(self, _EDITOR):
            with suppress(WorkerError):  # the cancelled worker raises
                await self.workers.wait_for_complete(editing)

    def _repaint(self) -> None:
        self.on_conversation_changed(self._desk.active)

    def _forget_hint(self) -> None:
        self._hint = ""
        self._poke()

    def _leave(self, code: int) -> None:
        # A closing terminal sends SIGHUP twice; the second one must not interrupt the save.
        if self._leaving:
            return
        self._leaving = True
        if code and self._hard_end is not None:
            self._hard_end.arm(EXIT_SAVE_FAILED)
        if not self._up:  # nothing is painted yet; `on_unmount` closes everything
            self.exit(code, code)
            return
        self._hint = "Saving…"
        self._poke()
        self.run_worker(self._save_and_exit(code))

    async def _save_and_exit(self, code: int) -> None:
        if problem := await self._close(signalled=bool(code)):
            self.exit(EXIT_SAVE_FAILED, EXIT_SAVE_FAILED, Text(safe_text(problem)))
            return
        if self._hard_end is not None:
            self._hard_end.settle(code)
        self.exit(code, code, Text(safe_text(self._last_words)) if self._last_words else None)

    async def _close(self, *, signalled: bool = False) -> str:
        await self._end_editing()
        await self._background.close()
        await self._download.close()
        backend, self._startup.backend = self._startup.backend, None
        self._desk.disconnect()
        tabs = self._open_tabs()
        if backend is None and self._left_behind is not None:
            # The user quit without waiting for the first save.
            return await save_for_recovery(self._left_behind, self._desk, self._memory, tabs)
        self._left_behind = backend
        problem = await close_within_deadline(
            backend, self._desk, self._memory, tabs, self._actions, signalled=signalled
        )
        self._left_behind = None
        return problem
