"""A scripted console for tests of the plain mode, and the plain mode that runs on it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from time import monotonic

from koel_tui.conversation.backend import Backend
from koel_tui.conversation.placeholders import PastePlaceholders
from koel_tui.plain.chat import PlainChat
from koel_tui.session import KoelClient, keep_usage
from koel_tui.storage import MemoryStorage, SessionStorage
from tests.ui.scripted import ScriptedAgent, Turn

DEADLINE = 10.0


class ScriptedConsole:
    """A `Console` with scripted input, which records the output."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.history: list[str] = []
        self.typed_text = ""
        self.gone = False
        self._prompt: asyncio.Future[str | None] | None = None
        self._on_line: Callable[[str | None], None] | None = None

    def print_line(self, line: str) -> None:
        if self.gone:
            raise OSError("hung up")
        self.said.append(line)

    async def read_line(self, prompt: str, typed: str = "") -> str | None:
        self.said.append(prompt)
        self.typed_text = typed
        self._prompt = asyncio.get_running_loop().create_future()
        try:
            return await self._prompt
        finally:
            self._prompt = None

    @contextmanager
    def reading_lines(self, on_line: Callable[[str | None], None]) -> Iterator[None]:
        self._on_line = on_line
        try:
            yield
        finally:
            self._on_line = None

    def add_history(self, texts: Iterable[str]) -> None:
        self.history += texts

    def keep_unread_input(self) -> None:
        """Do nothing: a test reads each line at once."""

    def close(self) -> None:
        """Do nothing: there is nothing to restore."""

    @property
    def prompting(self) -> bool:
        return self._prompt is not None and not self._prompt.done()

    def enter(self, line: str | None) -> bool:
        """Type a line if the console is reading one; return whether it was."""
        if self._on_line is not None:
            self._on_line(line)
        elif self._prompt is not None and not self._prompt.done():
            self.typed_text = ""
            self._prompt.set_result(line)
        else:
            return False
        return True


class Plain:
    """The plain mode under test."""

    def __init__(self, chat: PlainChat, console: ScriptedConsole, agent: ScriptedAgent) -> None:
        self.chat = chat
        self.console = console
        self.agent = agent
        self.running = asyncio.create_task(chat.run())

    async def until(self, holds: Callable[[], bool]) -> None:
        end = monotonic() + DEADLINE
        while not holds():
            assert monotonic() < end, "never so:\n" + "\n".join(self.console.said)
            await asyncio.sleep(0.005)

    async def prints(self, line: str) -> None:
        """Wait until this line is printed, then discard it and all lines before it."""
        await self.until(lambda: line in self.console.said)
        del self.console.said[: self.console.said.index(line) + 1]

    async def enter(self, line: str | None) -> None:
        await self.until(lambda: self.console.enter(line))

    async def ask(self, text: str) -> Turn:
        """Type a message at the prompt, and return the agent's turn."""
        before = len(self.agent.turns)
        await self.until(lambda: self.console.prompting)
        await self.enter(text)
        await self.until(lambda: len(self.agent.turns) > before)
        return self.agent.turns[before]

    async def end(self) -> int:
        async with asyncio.timeout(DEADLINE):
            return await self.running


@asynccontextmanager
async def plain(
    *,
    agent: ScriptedAgent | None = None,
    storage: SessionStorage | None = None,
    thread: str | None = None,
    connect: Callable[[], Backend] | None = None,
    home: Path | None = None,
    pastes: PastePlaceholders | None = None,
) -> AsyncIterator[Plain]:
    """Run the plain mode with a scripted agent."""
    scripted = agent or ScriptedAgent()
    kept = storage or MemoryStorage()

    def assemble() -> Backend:
        client = KoelClient(scripted, storage=kept, reducers=[keep_usage])
        return Backend(client, kept, scripted)

    console = ScriptedConsole()
    chat = PlainChat(connect or assemble, console, pastes=pastes, thread=thread, home=home)
    under_test = Plain(chat, console, scripted)
    yield under_test
    if not under_test.running.done():
        await under_test.enter("/quit")
        assert await under_test.end() == 0
