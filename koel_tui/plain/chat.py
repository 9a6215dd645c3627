"""The main loop of the plain mode, from startup to the last save."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from koel_tui.conversation.background_jobs import BackgroundJobs
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.drafts import join_texts
from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.conversation.titles_and_summaries import title_job
from koel_tui.plain.announcer import Announcer, describe
from koel_tui.plain.command_handlers import CommandHandlers
from koel_tui.plain.commands import (
    LineJoiner,
    escape_message,
    parse_command,
    unescape_message,
)
from koel_tui.plain.terminal import Console
from koel_tui.plain.thread_command_handlers import ThreadCommandHandlers
from koel_tui.system.signals import EXIT_SAVE_FAILED, SIGNAL_EXIT, Signals
from koel_tui.text import safe_line, safe_text
from koel_tui.workspace.recovery import RestoredWork, place_drafts, remove_files, restore
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.saved_threads import conflict_messages, saved_threads
from koel_tui.workspace.shutdown import close_within_deadline
from koel_tui.workspace.window_state import WindowState
from koel_tui.workspace.workspace import Workspace

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.system.forced_exit import ForcedExit

T = TypeVar("T")

_DOUBLE_PRESS_TIMEOUT = 2.0
_POLL_INTERVAL = 0.2
"""Seconds between two polls of an answer being generated."""
_INTERRUPTED = SIGNAL_EXIT + signal.SIGINT


class PlainChat:
    """A chat in lines of text: prints events as lines and reads lines from the user."""

    def __init__(
        self,
        connect: "Callable[[], Backend]",
        console: Console,
        *,
        pastes: PastePlaceholders | None = None,
        thread: str | None = None,
        home: Path | None = None,
        forced_exit: "ForcedExit | None" = None,
    ) -> None:
        """`pastes` has the text of the console's placeholders; the rest is as for `KoelApp`."""
        self._connect = connect
        self._console = console
        self._wanted_thread = thread
        self._wakeup = asyncio.Event()
        self._quitting = asyncio.Event()
        self._exit_code = 0
        self._interrupted_at = float("-inf")
        self._window_state = WindowState(home, lambda problem: self._print(f"Error: {problem}"))
        self._runtime = Runtime(self._wakeup.set)
        self._pastes = pastes or PastePlaceholders()
        self._workspace = Workspace(self)
        self._background = BackgroundJobs(self._wakeup.set)
        thread_handlers = ThreadCommandHandlers(
            self._workspace,
            self._runtime,
            self._background,
            self._print,
            lambda: self._announcer.skip_user_message(),  # of the thread that is active then
            self.on_text_returned,
        )
        self._handlers = CommandHandlers(
            self._workspace, self._runtime, self._print, lambda: self._quit(0), thread_handlers
        )
        self._line_joiner = LineJoiner()
        self._typed_lines: list[str | None] = []
        self._last_sent = ""
        self._reported_conflict_count = 0
        self._announcers: dict[str, Announcer] = {}
        self._forced_exit = forced_exit
        self._signals = Signals(self._quit, forced_exit)
        self._loading: asyncio.Task[None] | None = None

    @property
    def fatal_error(self) -> BaseException | None:
        """The error that prevented the model from loading, if any."""
        return self._runtime.problem

    async def run(self) -> int:
        """Chat until the user quits, and return the exit code."""
        self._signals.install()
        try:
            self._print("koel-chat, plain mode. /help lists the commands.")
            self._workspace.restore(await self._window_state.load_tabs(), self._pastes)
            self._console.add_history(
                escape_message(self._pastes.import_draft(draft))
                for draft in await self._window_state.load_history()
            )
            backend = await self._runtime.connect(self._connect)
            if backend is not None:
                restored = await restore(backend)
                self._workspace.connect(backend)
                await self._restore_unsaved(restored)
                self._loading = asyncio.create_task(self._runtime.load())
                self._loading.add_done_callback(lambda _: self._announce_model())
                await self._open_first_thread(backend)
                while not self._quitting.is_set():
                    await self._step(backend)
        finally:
            self._keep_typed_text()
            problem = await self._close()
            self._signals.restore()
        for line in problem.splitlines():
            self._print(f"Error: {safe_line(line, 4000)}")
        return EXIT_SAVE_FAILED if problem else self._exit_code

    # Callbacks of conversations

    def on_conversation_changed(self, conversation: Conversation) -> None:
        """Schedule a check for new output."""
        if conversation.has_answered:
            self._runtime.clear_problem()
        self._background.pause_while_busy(any(each.is_busy for each in self._workspace.tabs))
        self._wakeup.set()

    def on_run_ended(self, conversation: Conversation) -> None:
        """Report an answer in a thread that is not active; queue a title job for a new thread."""
        self.on_conversation_changed(conversation)
        backend = self._runtime.backend
        if backend is not None and backend.titles and conversation.needs_title:
            self._background.add(title_job(conversation))
        if conversation is not self._workspace.active and conversation in self._workspace.tabs:
            number = self._workspace.tabs.number(conversation)
            self._print(f"Thread {number} is done: {describe(conversation)}.")

    def on_text_returned(self, conversation: Conversation, text: str) -> None:
        """Restore unsent text as the draft of the next line."""
        if text:
            conversation.draft = join_texts(self._pastes.collapse(text), conversation.draft)

    def on_save_failed(self, conversation: Conversation) -> None:
        """Report that a closed thread could not be saved."""
        self._print(f"Error: not saved: {conversation.title}. {conversation.save_problem}")

    # The steps of `run`

    async def _restore_unsaved(self, restored: RestoredWork) -> None:
        """Restore work that an earlier run could not save, and report it."""
        place_drafts(restored, self._workspace, self._pastes, self.on_text_returned)
        await self._window_state.save_now(self._workspace.snapshot(self._pastes))
        for line in (*restored.problems, restored.message):
            if line:
                self._print(safe_line(line, 4000))
        if not self._window_state.problem:
            await asyncio.to_thread(remove_files, restored)

    async def _open_first_thread(self, backend: "Backend") -> None:
        for thread in await saved_threads(backend.storage):
            if thread.damage:
                self._print(f"Error: {thread.title} is damaged and was skipped: {thread.damage}")
        if self._wanted_thread is None:
            await self._handlers.announce_tab()
        else:
            await self._handlers.open(self._wanted_thread)

    async def _step(self, backend: "Backend") -> None:
        """Print new output; then wait for more of an answer, or for the user's input."""
        self._wakeup.clear()
        self._print_new_output(backend)
        self._window_state.save_soon(self._workspace.snapshot(self._pastes))
        conversation = self._workspace.active
        if self._typed_lines:
            await self._process(self._typed_lines.pop(0))
        elif conversation.is_busy or conversation.queue:
            with self._console.reading_lines(self._queue_line):
                await self._until_quit(self._wakeup.wait())
                await self._until_quit(asyncio.sleep(_POLL_INTERVAL))
        else:
            typed = await self._until_quit(self._prompt(conversation.draft))
            # When the chat ends, the typed text becomes the draft again.
            conversation.draft = ""
            if self._quitting.is_set():
                self._typed_lines.append(typed)
            else:
                await self._process(typed)

    def _print_new_output(self, backend: "Backend") -> None:
        """Print new output of the active thread, and notices and save conflicts of all threads."""
        for line in self._announcer.new_lines():
            self._print(line)
        for conversation in self._workspace.tabs:
            # The last answer of a busy thread may not be printed yet.
            if not conversation.is_busy and (notice := self._runtime.new_notice(conversation)):
                self._print(notice)
        for line in conflict_messages(backend.storage, self._reported_conflict_count):
            self._reported_conflict_count += 1
            self._print(safe_line(line, 400))

    def _keep_typed_text(self) -> None:
        """Keep the text that was typed but not entered as a draft."""
        self._console.keep_unread_input()
        lines = [line for line in (*self._typed_lines, self._console.typed_text) if line]
        text = self._line_joiner.unfinished_text("\n".join(lines))
        conversation = self._workspace.active
        conversation.draft = join_texts(conversation.draft, unescape_message(text))

    async def _prompt(self, draft: str) -> str | None:
        """Let the user continue a draft; only its last line can be edited."""
        *earlier, last = escape_message(draft).split("\n")
        for line in earlier:
            self._print(f"You: {safe_text(line)}")
            self._line_joiner.add(line + "\\")
        return await self._console.read_line(
            "More: " if self._line_joiner.is_unfinished else "You: ", last
        )

    async def _until_quit(self, awaitable: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of `awaitable`, or None if the user quits first."""
        result_task = asyncio.ensure_future(awaitable)
        quit_task = asyncio.ensure_future(self._quitting.wait())
        await asyncio.wait([result_task, quit_task], return_when=asyncio.FIRST_COMPLETED)
        quit_task.cancel()
        if result_task.done():
            return result_task.result()
        result_task.cancel()
        return None

    def _queue_line(self, line: str | None) -> None:
        """Queue a line that was typed during an answer."""
        self._typed_lines.append(line)
        self._wakeup.set()

    async def _process(self, line: str | None) -> None:
        """Process a line: run its command, or send it as a message."""
        if line is None:
            self._quit(0)
            return
        text = self._line_joiner.add(line)
        if text is None or not text.strip():
            return
        command = parse_command(text)
        if command is not None:
            argument = self._pastes.expand(command.argument)
            await self._handlers.run(replace(command, argument=argument))
        else:
            self._ask(unescape_message(text))

    def _ask(self, text: str) -> None:
        conversation = self._workspace.active
        conversation.ask(self._pastes.expand(text))
        if conversation.queue:
            self._print("Queued. It is sent after the answer.")
        else:
            self._announcer.skip_user_message()
        if text != self._last_sent:
            self._last_sent = text
            self._window_state.append_history(self._pastes.draft(text))

    @property
    def _announcer(self) -> Announcer:
        """The announcer of the active thread; it skips the messages already in the thread."""
        conversation = self._workspace.active
        if conversation.key not in self._announcers:
            announcer = self._announcers[conversation.key] = Announcer(
                conversation, lambda: self._runtime.program_model
            )
            announcer.skip()
        return self._announcers[conversation.key]

    def _announce_model(self) -> None:
        if self._quitting.is_set():
            return
        if self._runtime.problem is None:
            if self._runtime.backend is not None:
                self._background.connect(self._runtime.backend)
            self._print(f"The model is ready: {safe_line(self._runtime.model_name)}.")
            if self._runtime.advice:
                self._print(self._runtime.advice)
        else:
            self._print(f"Error: {safe_line(self._runtime.alert, 400)}")

    def _print(self, line: str) -> None:
        try:
            self._console.print_line(line)
        except OSError:  # the terminal was closed
            self._quit(SIGNAL_EXIT + signal.SIGHUP)

    def _quit(self, code: int) -> None:
        if code == _INTERRUPTED and monotonic() - self._interrupted_at > _DOUBLE_PRESS_TIMEOUT:
            self._interrupted_at = monotonic()
            if self._workspace.active.is_busy:
                self._workspace.active.stop()
            else:
                self._print("Press ctrl+c again to quit.")
        elif not self._quitting.is_set():
            if code and self._forced_exit is not None:
                self._forced_exit.schedule(EXIT_SAVE_FAILED)
            self._exit_code = code
            self._quitting.set()

    async def _close(self) -> str:
        await self._background.close()
        tabs = self._workspace.snapshot(self._pastes)
        problem = await close_within_deadline(
            self._runtime.backend,
            self._workspace,
            self._window_state,
            tabs,
            signalled=bool(self._exit_code),
        )
        if not problem and self._forced_exit is not None:
            self._forced_exit.set_exit_code(self._exit_code)
        return problem
