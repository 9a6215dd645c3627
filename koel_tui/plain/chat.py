"""The main loop of the plain mode, from startup to the last save."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from koel_tui.conversation.background_jobs import BackgroundJobs
from koel_tui.conversation.conversation import Conversation
from koel_tui.conversation.drafts import PastePlaceholders, joined
from koel_tui.conversation.titles_and_summaries import title_job
from koel_tui.plain.announcer import Announcer, described
from koel_tui.plain.command_handlers import CommandHandlers
from koel_tui.plain.commands import LineJoiner, message_of, order_of
from koel_tui.plain.terminal import Console
from koel_tui.plain.thread_command_handlers import ThreadCommandHandlers
from koel_tui.text import safe_line, safe_text
from koel_tui.workspace.recovery import RestoredWork, bring_back, place, remove
from koel_tui.workspace.runtime import Runtime
from koel_tui.workspace.saved_threads import saved_threads, told_of_conflicts
from koel_tui.workspace.shutdown import EXIT_SAVE_FAILED, SIGNAL_EXIT, Signals, close_in_time
from koel_tui.workspace.window_state import WindowState
from koel_tui.workspace.workspace import Workspace

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.system.forced_exit import ForcedExit

T = TypeVar("T")

_QUIT_WITHIN = 2.0
_PACE = 0.2
"""Seconds between two polls of an answer being generated."""
_INTERRUPTED = SIGNAL_EXIT + signal.SIGINT


class PlainChat:
    """A chat in lines of text: prints events as lines and reads lines from the user."""

    def __init__(
        self,
        connect: "Callable[[], Backend]",
        console: Console,
        *,
        thread: str | None = None,
        home: Path | None = None,
        forced_exit: "ForcedExit | None" = None,
    ) -> None:
        """The arguments are those of `KoelApp`."""
        self._connect = connect
        self._console = console
        self._wanted_thread = thread
        self._news = asyncio.Event()
        self._left = asyncio.Event()
        self._code = 0
        self._interrupted_at = float("-inf")
        self._memory = WindowState(home, lambda problem: self._say(f"Error: {problem}"))
        self._startup = Runtime(self._news.set)
        self._pastes = PastePlaceholders()
        self._desk = Workspace(self)
        self._background = BackgroundJobs(self._news.set)
        within = ThreadCommandHandlers(
            self._desk, self._startup, self._background, self._say, lambda: self._reading.asked()
        )
        self._orders = CommandHandlers(
            self._desk, self._startup, self._say, lambda: self._leave(0), within
        )
        self._typing = LineJoiner()
        self._heard: list[str | None] = []
        self._sent = ""
        self._conflicts = 0  # number reported so far
        self._readings: dict[str, Announcer] = {}
        self._forced_exit = forced_exit
        self._signals = Signals(self._leave, forced_exit)
        self._loading: asyncio.Task[None] | None = None

    @property
    def fatal_error(self) -> BaseException | None:
        """The error that prevented the model from loading, if any."""
        return self._startup.problem

    async def run(self) -> int:
        """Chat until the user quits, and return the exit code."""
        self._signals.catch()
        try:
            self._say("koel-chat, plain mode. /help lists the commands.")
            self._desk.restore(await self._memory.tabs(), self._pastes)
            self._console.recall(
                self._pastes.expand(self._pastes.adopt(draft))
                for draft in await self._memory.history()
            )
            backend = await self._startup.connect(self._connect)
            if backend is not None:
                returned = await bring_back(backend)
                self._desk.connect(backend)
                await self._take_back(returned)
                self._loading = asyncio.create_task(self._startup.load())
                self._loading.add_done_callback(lambda _: self._tell_model())
                await self._begin(backend)
                while not self._left.is_set():
                    await self._step(backend)
        finally:
            problem = await self._close()
            self._signals.release()
        for line in problem.splitlines():
            self._say(f"Error: {safe_line(line, 4000)}")
        return EXIT_SAVE_FAILED if problem else self._code

    # Callbacks of conversations

    def changed(self, conversation: Conversation) -> None:
        """Schedule a check for new output."""
        if conversation.answered:
            self._startup.recover()
        self._background.give_way(any(each.busy for each in self._desk.tabs))
        self._news.set()

    def ended(self, conversation: Conversation) -> None:
        """Report an answer in a thread that is not active; queue a title job for a new thread."""
        self.changed(conversation)
        backend = self._startup.backend
        if backend is not None and backend.titles and conversation.wants_title:
            self._background.add(title_job(conversation))
        if conversation is not self._desk.active and conversation in list(self._desk.tabs):
            number = self._desk.tabs.number(conversation)
            self._say(f"Thread {number} is done: {described(conversation)}.")

    def returned(self, conversation: Conversation, text: str) -> None:
        """Restore unsent text as the draft of the next line."""
        if text:
            conversation.draft = joined(text, conversation.draft)

    def lost(self, conversation: Conversation) -> None:
        """Report that a closed thread could not be saved."""
        self._say(f"Error: not saved: {conversation.title}. {conversation.save_problem}")

    # The steps of `run`

    async def _take_back(self, returned: RestoredWork) -> None:
        """Restore work that an earlier run could not save, and report it."""
        place(returned, self._desk, self._pastes, self.returned)
        await self._memory.keep_now(self._desk.kept(self._pastes))
        for line in (*returned.problems, returned.words):
            if line:
                self._say(safe_line(line, 4000))
        if not self._memory.problem:
            await asyncio.to_thread(remove, returned)

    async def _begin(self, backend: "Backend") -> None:
        for thread in await saved_threads(backend.storage):
            if thread.damage:
                self._say(f"Error: {thread.title} is damaged and was left out. {thread.damage}")
        if self._wanted_thread is None:
            await self._orders.arrive()
        else:
            await self._orders.open(self._wanted_thread)

    async def _step(self, backend: "Backend") -> None:
        """Print new output; then wait for more of an answer, or for the user's input."""
        self._news.clear()
        self._tell(backend)
        self._memory.keep(self._desk.kept(self._pastes))
        conversation = self._desk.active
        if self._heard:
            await self._take(self._heard.pop(0))
        elif conversation.busy or conversation.queue:
            with self._console.listening(self._hear):
                await self._unless_left(self._news.wait())
                await self._unless_left(asyncio.sleep(_PACE))
        else:
            typed = await self._unless_left(self._prompt(conversation.draft))
            if self._left.is_set():
                conversation.draft = self._typing.rest(self._console.typed)
            else:
                conversation.draft = ""
                await self._take(typed)

    def _tell(self, backend: "Backend") -> None:
        """Print new output of the active thread, and save conflicts of all threads."""
        for line in self._reading.news():
            self._say(line)
        for line in told_of_conflicts(backend.storage, self._conflicts):
            self._conflicts += 1
            self._say(safe_line(line, 400))

    async def _prompt(self, draft: str) -> str | None:
        """Let the user continue a draft; only its last line can be edited."""
        *earlier, last = draft.split("\n")
        for line in earlier:
            self._say(f"You: {safe_text(line)}")
            self._typing.add(line + "\\")
        return await self._console.line("More: " if self._typing.begun else "You: ", last)

    async def _unless_left(self, waiting: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of `waiting`, or None if the user quits first."""
        wanted, left = asyncio.ensure_future(waiting), asyncio.ensure_future(self._left.wait())
        await asyncio.wait([wanted, left], return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        if wanted.done():
            return wanted.result()
        wanted.cancel()
        return None

    def _hear(self, line: str | None) -> None:
        """Queue a line that was typed during an answer."""
        self._heard.append(line)
        self._news.set()

    async def _take(self, line: str | None) -> None:
        """Process a line: run its command, or send it as a message."""
        if line is None:
            self._leave(0)
            return
        text = self._typing.add(line)
        if text is None or not text.strip():
            return
        order = order_of(text)
        if order is not None:
            await self._orders.obey(order)
        else:
            self._ask(message_of(text))

    def _ask(self, text: str) -> None:
        conversation = self._desk.active
        conversation.ask(text)
        if conversation.queue:
            self._say("This is sent after the answer.")
        else:
            self._reading.asked()
        if text != self._sent:
            self._sent = text
            self._memory.remember(self._pastes.draft(text))

    @property
    def _reading(self) -> Announcer:
        """The announcer of the active thread; it skips the messages already in the thread."""
        conversation = self._desk.active
        if conversation.key not in self._readings:
            reading = self._readings[conversation.key] = Announcer(
                conversation, lambda: self._startup.program_model
            )
            reading.skip()
        return self._readings[conversation.key]

    def _tell_model(self) -> None:
        if self._left.is_set():
            return
        if self._startup.problem is None:
            if self._startup.backend is not None:
                self._background.connect(self._startup.backend)
            self._say(f"The model is ready: {safe_line(self._startup.model)}.")
            if self._startup.advice:
                self._say(self._startup.advice)
        else:
            self._say(f"Error: {safe_line(self._startup.alarm, 400)}")

    def _say(self, line: str) -> None:
        try:
            self._console.say(line)
        except OSError:  # the terminal was closed
            self._leave(SIGNAL_EXIT + signal.SIGHUP)

    def _leave(self, code: int) -> None:
        if code == _INTERRUPTED and monotonic() - self._interrupted_at > _QUIT_WITHIN:
            self._interrupted_at = monotonic()
            if self._desk.active.busy:
                self._desk.active.stop()
            else:
                self._say("Press ctrl+c again to quit.")
        elif not self._left.is_set():
            if code and self._forced_exit is not None:
                self._forced_exit.schedule(EXIT_SAVE_FAILED)
            self._code = code
            self._left.set()

    async def _close(self) -> str:
        await self._background.close()
        kept = self._desk.kept(self._pastes)
        problem = await close_in_time(
            self._startup.backend, self._desk, self._memory, kept, signalled=bool(self._code)
        )
        if not problem and self._forced_exit is not None:
            self._forced_exit.set_exit_code(self._code)
        return problem
