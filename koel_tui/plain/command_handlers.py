"""The handlers of the plain mode's commands."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from koel_tui.plain.announcer import described, labelled, spoken
from koel_tui.plain.commands import ParsedCommand, help_lines
from koel_tui.plain.thread_command_handlers import ThreadCommandHandlers
from koel_tui.text import safe_line
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.saved_threads import find_thread, saved_threads
from koel_tui.workspace.workspace import Workspace

if TYPE_CHECKING:
    from koel_tui.workspace.saved_threads import SavedThread

_READ = 2
"""Number of messages that /read prints by default: a question and its answer."""


class CommandHandlers:
    """The handlers of commands on open threads; `say` prints a line, `leave` ends the chat."""

    def __init__(
        self,
        desk: Workspace,
        startup: Runtime,
        say: Callable[[str], None],
        leave: Callable[[], None],
        thread: ThreadCommandHandlers,
    ) -> None:
        """`thread` has the handlers of commands within a thread."""
        self._desk = desk
        self._startup = startup
        self._say = say
        self._leave = leave
        self._thread = thread

    async def obey(self, order: ParsedCommand) -> None:
        """Run a command, or print why it cannot be run."""
        if order.command is None:
            self._say(f"There is no command /{safe_line(order.word, 40)}. /help lists them.")
            return
        does: dict[str, Callable[[str], Awaitable[None]]] = {
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
            **self._thread.by_name,
        }
        await does[order.command.name](order.argument)

    async def arrive(self) -> None:
        """Load the active thread if necessary, and print its number and description."""
        conversation = self._desk.active
        try:
            await self._desk.wake(conversation)
        except Exception as error:
            self._refused("the thread cannot be opened", error)
            self._desk.sweep(conversation)
        tabs = self._desk.tabs
        where = f"Thread {tabs.number(tabs.active)} of {len(tabs)}"
        self._say(f"{where}: {described(tabs.active)}.")

    async def open(self, wanted: str) -> None:
        """Open the saved thread with this title or id."""
        found = find_thread(await self._saved(), wanted)
        if isinstance(found, str):
            self._say(f"{safe_line(found)} /list lists all.")
            return
        try:
            await self._desk.open(found.id, found.title)
        except Exception as error:
            self._refused("the thread cannot be opened", error)
        await self.arrive()

    async def _help(self, _: str) -> None:
        for line in help_lines():
            self._say(line)

    async def _new(self, _: str) -> None:
        try:
            self._desk.new()
        except Exception as error:
            self._refused("no thread can be begun", error)
        await self.arrive()

    async def _tabs(self, _: str) -> None:
        for number, conversation in enumerate(self._desk.tabs, 1):
            here = ", you are here" if conversation is self._desk.active else ""
            self._say(f"{number}: {described(conversation)}{here}.")

    async def _tab(self, wanted: str) -> None:
        number = int(wanted) if wanted.isdecimal() else 0
        conversation = self._desk.tabs.at(number)
        if conversation is None:
            self._say("There is no thread of this number. /tabs lists them.")
            return
        self._desk.tabs.activate(conversation)
        await self.arrive()

    async def _list(self, _: str) -> None:
        threads = await self._saved()
        if not threads:
            self._say("Nothing is saved yet.")
        for thread in threads:
            state = f"damaged: {thread.damage}" if thread.damage else thread.when
            self._say(f"{safe_line(thread.title) or '(no title)'}, {safe_line(state)}")

    async def _close(self, _: str) -> None:
        closed = self._desk.active
        closed.stop()
        self._desk.close(closed)
        self._say(f"Closed: {safe_line(closed.title)}.")
        await self.arrive()

    async def _read(self, how_many: str) -> None:
        entries = spoken(self._desk.active)
        count = int(how_many) if how_many.isdecimal() else _READ
        shown = entries if how_many == "all" else entries[max(0, len(entries) - count) :]
        if not shown:
            self._say("There is nothing to read yet.")
        for entry in shown:
            self._say(labelled(entry.role, entry.text))

    async def _new_from(self, _: str) -> None:
        answers = [each for each in spoken(self._desk.active) if each.role == "assistant"]
        if not answers:
            self._say("There is no answer yet from which a new thread could go on.")
            return
        try:
            await self._desk.branch(answers[-1].id)
        except Exception as error:
            self._refused("the thread cannot be opened", error)
        await self.arrive()

    async def _stop(self, _: str) -> None:
        if self._desk.active.busy:
            self._desk.active.stop()
        else:
            self._say("No answer is being written.")

    async def _quit(self, _: str) -> None:
        self._leave()

    async def _saved(self) -> "list[SavedThread]":
        backend = self._startup.backend
        if backend is None:
            return []
        try:
            return await saved_threads(backend.storage)
        except Exception as error:
            self._refused("the saved threads cannot be listed", error)
            return []

    def _refused(self, what: str, error: Exception) -> None:
        self._say(f"Error: {what}. {safe_line(str(error), 400)}")
