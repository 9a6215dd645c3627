"""The plain mode from its first line to its last save."""

import asyncio
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, TypeVar

from koel_tui.text import safe_line, safe_text
from koel_tui.ui.asides import title_job
from koel_tui.ui.background import Background
from koel_tui.ui.conversation import Conversation
from koel_tui.ui.desk import Desk
from koel_tui.ui.leaving import EXIT_SAVE_FAILED, SIGNAL_EXIT, Signals, close_in_time
from koel_tui.ui.memory import Memory
from koel_tui.ui.pastes import Pastes, joined
from koel_tui.ui.plain.commands import Typing, message_of, order_of
from koel_tui.ui.plain.orders import Orders
from koel_tui.ui.plain.reading import Reading, described
from koel_tui.ui.plain.terminal import Console
from koel_tui.ui.plain.thread_orders import ThreadOrders
from koel_tui.ui.recovery import Returned, bring_back, place, remove
from koel_tui.ui.saved import saved_threads, told_of_conflicts
from koel_tui.ui.startup import Startup

if TYPE_CHECKING:
    from koel_tui.ui.backend import Backend
    from koel_tui.ui.hard_end import HardEnd

T = TypeVar("T")

_QUIT_WITHIN = 2.0
_PACE = 0.2
"""Seconds between two looks at an answer that is being written."""
_INTERRUPTED = SIGNAL_EXIT + signal.SIGINT


class PlainChat:
    """The chat without a window: says what happens in lines, and takes lines from the user."""

    def __init__(
        self,
        connect: "Callable[[], Backend]",
        console: Console,
        *,
        thread: str | None = None,
        home: Path | None = None,
        hard_end: "HardEnd | None" = None,
    ) -> None:
        """Make the chat; the arguments are those of the window."""
        self._connect = connect
        self._console = console
        self._wanted_thread = thread
        self._news = asyncio.Event()
        self._left = asyncio.Event()
        self._code = 0
        self._interrupted_at = float("-inf")
        self._memory = Memory(home, lambda problem: self._say(f"Error: {problem}"))
        self._startup = Startup(self._news.set)
        self._pastes = Pastes()
        self._desk = Desk(self)
        self._background = Background(self._news.set)
        within = ThreadOrders(
            self._desk, self._startup, self._background, self._say, lambda: self._reading.asked()
        )
        self._orders = Orders(self._desk, self._startup, self._say, lambda: self._leave(0), within)
        self._typing = Typing()
        self._heard: list[str | None] = []
        self._sent = ""
        self._conflicts = 0  # told so far
        self._readings: dict[str, Reading] = {}
        self._hard_end = hard_end
        self._signals = Signals(self._leave, hard_end)
        self._loading: asyncio.Task[None] | None = None

    @property
    def fatal(self) -> BaseException | None:
        """What kept the model from being there, if anything did."""
        return self._startup.problem

    async def run(self) -> int:
        """Chat until the user leaves, and return the exit code."""
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

    # What conversations tell

    def changed(self, conversation: Conversation) -> None:
        """Look for something to say soon."""
        if conversation.answered:
            self._startup.recover()
        self._background.give_way(any(each.busy for each in self._desk.tabs))
        self._news.set()

    def ended(self, conversation: Conversation) -> None:
        """Say that a thread out of sight has its answer, and have a title found for a new one."""
        self.changed(conversation)
        backend = self._startup.backend
        if backend is not None and backend.titles and conversation.wants_title:
            self._background.add(title_job(conversation))
        if conversation is not self._desk.active and conversation in list(self._desk.tabs):
            number = self._desk.tabs.number(conversation)
            self._say(f"Thread {number} is done: {described(conversation)}.")

    def returned(self, conversation: Conversation, text: str) -> None:
        """Give unsent text back, to be the line that is typed next."""
        if text:
            conversation.draft = joined(text, conversation.draft)

    def notice(self) -> str:
        """Return what is wrong for all conversations alike."""
        return self._startup.notice

    def fitting_template(self) -> str:
        """Return the built-in chat template that fits the program's model, '' when none does."""
        return self._startup.fitting_template

    def lost(self, conversation: Conversation) -> None:
        """Say that a closed thread could not be saved."""
        self._say(f"Error: not saved: {conversation.title}. {conversation.save_problem}")

    # One step after the other

    async def _take_back(self, returned: Returned) -> None:
        """Give back what an earlier run could not save, and tell of it."""
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
        """Say what is new; then wait for more of an answer, or for what the user types."""
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
        """Say what is new in the thread in front, and what went wrong elsewhere."""
        for line in self._reading.news():
            self._say(line)
        for line in told_of_conflicts(backend.storage, self._conflicts):
            self._conflicts += 1
            self._say(safe_line(line, 400))

    async def _prompt(self, draft: str) -> str | None:
        """Have the user go on with a draft, of which only the last line can be changed."""
        *earlier, last = draft.split("\n")
        for line in earlier:
            self._say(f"You: {safe_text(line)}")
            self._typing.add(line + "\\")
        return await self._console.line("More: " if self._typing.begun else "You: ", last)

    async def _unless_left(self, waiting: Coroutine[Any, Any, T]) -> T | None:
        """Wait for something, but not once the user leaves."""
        wanted, left = asyncio.ensure_future(waiting), asyncio.ensure_future(self._left.wait())
        await asyncio.wait([wanted, left], return_when=asyncio.FIRST_COMPLETED)
        left.cancel()
        if wanted.done():
            return wanted.result()
        wanted.cancel()
        return None

    def _hear(self, line: str | None) -> None:
        """Note a line that was typed while an answer comes."""
        self._heard.append(line)
        self._news.set()

    async def _take(self, line: str | None) -> None:
        """Do what a line says: a command, or a message to send."""
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
    def _reading(self) -> Reading:
        """What was said of the thread in front; nothing of a saved one is said by itself."""
        conversation = self._desk.active
        if conversation.key not in self._readings:
            reading = self._readings[conversation.key] = Reading(conversation)
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
        except OSError:  # nobody is there any more
            self._leave(SIGNAL_EXIT + signal.SIGHUP)

    def _leave(self, code: int) -> None:
        if code == _INTERRUPTED and monotonic() - self._interrupted_at > _QUIT_WITHIN:
            self._interrupted_at = monotonic()
            if self._desk.active.busy:
                self._desk.active.stop()
            else:
                self._say("Press ctrl+c again to quit.")
        elif not self._left.is_set():
            if code and self._hard_end is not None:
                self._hard_end.arm(EXIT_SAVE_FAILED)
            self._code = code
            self._left.set()

    async def _close(self) -> str:
        await self._background.close()
        kept = self._desk.kept(self._pastes)
        problem = await close_in_time(
            self._startup.backend, self._desk, self._memory, kept, signalled=bool(self._code)
        )
        if not problem and self._hard_end is not None:
            self._hard_end.settle(self._code)
        return problem
