"""The handlers of the plain mode's commands."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from koel_tui.plain.announcer import chat_entries, describe, format_message
from koel_tui.plain.commands import ParsedCommand, help_lines, parse_index
from koel_tui.plain.thread_command_handlers import ThreadCommandHandlers
from koel_tui.text import safe_line
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.saved_threads import find_thread, saved_threads
from koel_tui.workspace.workspace import Workspace

if TYPE_CHECKING:
    from koel_tui.workspace.saved_threads import SavedThread

_DEFAULT_READ = 2
"""Number of messages that /read prints by default: a question and its answer."""


class CommandHandlers:
    """The handlers of commands on open threads; `say` prints a line, `quit_chat` ends the chat."""

    def __init__(
        self,
        workspace: Workspace,
        runtime: Runtime,
        say: Callable[[str], None],
        quit_chat: Callable[[], None],
        thread_handlers: ThreadCommandHandlers,
    ) -> None:
        """`thread_handlers` has the handlers of commands within a thread."""
        self._workspace = workspace
        self._runtime = runtime
        self._say = say
        self._quit_chat = quit_chat
        self._thread_handlers = thread_handlers

    async def run(self, command: ParsedCommand) -> None:
        """Run a command, or print why it cannot be run."""
        if command.command is None:
            self._say(f"Unknown command /{safe_line(command.word, 40)}. /help lists the commands.")
            return
        handlers: dict[str, Callable[[str], Awaitable[None]]] = {
            "help": self._help,
            "new": self._new,
            "tabs": self._tabs,
            "tab": self._tab,
            "list": self._list,
            "open": self.open,
            "close": self._close,
            "read": self._read,
            "stop": self._stop,
            "new-from": self._new_from,
            "quit": self._quit,
            **self._thread_handlers.by_name,
        }
        await handlers[command.command.name](command.argument)

    async def announce_tab(self) -> None:
        """Load the active thread if necessary, and print its number and description."""
        conversation = self._workspace.active
        try:
            await self._workspace.load(conversation)
        except Exception as error:
            self._print_error("the thread cannot be opened", error)
            self._workspace.close_if_empty(conversation)
        tabs = self._workspace.tabs
        where = f"Thread {tabs.number(tabs.active)} of {len(tabs)}"
        self._say(f"{where}: {describe(tabs.active)}.")

    async def open(self, argument: str) -> None:
        """Open the saved thread with this title or id."""
        thread = find_thread(await self._saved_threads(), argument)
        if isinstance(thread, str):
            self._say(f"{safe_line(thread)} /list lists all.")
            return
        try:
            await self._workspace.open(thread.id, thread.title)
        except Exception as error:
            self._print_error("the thread cannot be opened", error)
        await self.announce_tab()

    async def _help(self, _: str) -> None:
        for line in help_lines():
            self._say(line)

    async def _new(self, _: str) -> None:
        try:
            self._workspace.new()
        except Exception as error:
            self._print_error("a new thread cannot be opened", error)
        await self.announce_tab()

    async def _tabs(self, _: str) -> None:
        for number, conversation in enumerate(self._workspace.tabs, 1):
            suffix = ", you are here" if conversation is self._workspace.active else ""
            self._say(f"{number}: {describe(conversation)}{suffix}.")

    async def _tab(self, argument: str) -> None:
        number = parse_index(argument)
        conversation = self._workspace.tabs.at(number)
        if conversation is None:
            self._say("No open thread has this number. /tabs lists them.")
            return
        self._workspace.tabs.activate(conversation)
        await self.announce_tab()

    async def _list(self, _: str) -> None:
        threads = await self._saved_threads()
        if not threads:
            self._say("There are no saved threads.")
        for thread in threads:
            state = f"damaged: {thread.damage}" if thread.damage else thread.when
            self._say(f"{safe_line(thread.title) or '(no title)'}, {safe_line(state)}")

    async def _close(self, _: str) -> None:
        closed = self._workspace.active
        closed.stop()
        self._workspace.close(closed)
        self._say(f"Closed: {safe_line(closed.title)}.")
        await self.announce_tab()

    async def _read(self, argument: str) -> None:
        entries = chat_entries(self._workspace.active)
        count = parse_index(argument) or _DEFAULT_READ
        shown = entries if argument == "all" else entries[max(0, len(entries) - count) :]
        if not shown:
            self._say("There are no messages yet.")
        for entry in shown:
            self._say(format_message(entry.role, entry.text))

    async def _new_from(self, _: str) -> None:
        answers = [
            each for each in chat_entries(self._workspace.active) if each.role == "assistant"
        ]
        if not answers:
            self._say("There is no answer yet to start a new thread from.")
            return
        try:
            await self._workspace.branch(answers[-1].id)
        except Exception as error:
            self._print_error("the thread cannot be opened", error)
        await self.announce_tab()

    async def _stop(self, _: str) -> None:
        if self._workspace.active.is_busy:
            self._workspace.active.stop()
        else:
            self._say("No answer is being written.")

    async def _quit(self, _: str) -> None:
        self._quit_chat()

    async def _saved_threads(self) -> "list[SavedThread]":
        backend = self._runtime.backend
        if backend is None:
            return []
        try:
            return await saved_threads(backend.storage)
        except Exception as error:
            self._print_error("the saved threads cannot be listed", error)
            return []

    def _print_error(self, failure: str, error: Exception) -> None:
        self._say(f"Error: {failure}. {safe_line(str(error), 400)}")
