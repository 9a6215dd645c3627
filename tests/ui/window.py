"""Drives the window in tests: opens it, waits for text, and reads the screen."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from time import monotonic

from textual import events
from textual._context import visible_screen_stack
from textual.pilot import Pilot
from textual.widgets import Static, Tab

from koel_tui.conversation.backend import Backend
from koel_tui.limits import LINE_LENGTH
from koel_tui.protocol import ChatState, Message
from koel_tui.session import KoelClient, keep_usage
from koel_tui.storage import MemoryStorage, SessionStorage
from koel_tui.ui.app.app import KoelApp
from koel_tui.ui.composer.prompt import Prompt
from koel_tui.ui.keys.keymap import KeyMap
from koel_tui.ui.transcript.message_view import MessageView
from koel_tui.ui.transcript.transcript import Transcript
from tests.ui.scripted import ScriptedAgent, Turn

DEADLINE = 30.0


class Window:
    """The window under test and the agent behind it."""

    def __init__(self, pilot: Pilot[int], app: KoelApp, agent: ScriptedAgent) -> None:
        self.pilot = pilot
        self.app = app
        self.agent = agent

    async def until(self, holds: Callable[[], bool], what: str = "") -> None:
        """Wait until `holds()` is true; after `DEADLINE`, fail with the text of the screen."""
        began = monotonic()
        end = began + DEADLINE
        while not holds():
            now = monotonic()
            assert now < end, f"never seen: {what or holds}\n{self.screen}"
            await asyncio.sleep(max(0.005, now - began))  # leaves the window as much time
            began = monotonic()

    async def sees(self, text: str) -> None:
        """Wait until `text` is on the screen."""
        await self.until(lambda: text in self.screen, text)

    async def misses(self, text: str) -> None:
        """Wait until `text` is nowhere on the screen."""
        await self.until(lambda: text not in self.screen, f"no {text!r}")

    async def press(self, *keys: str) -> None:
        """Press keys without a pause."""
        for key in keys:
            self.app.post_message(events.Key(key, None))
        await self.handled()

    async def type(self, text: str) -> None:
        """Paste `text` into the focused widget, as a terminal does."""
        self.app.post_message(events.Paste(text))
        await self.handled()

    async def handled(self) -> None:
        """Wait until posted events have passed the queues of the app, a widget and the app again.

        A test must wait for later effects by the text that they show.
        """
        for _ in range(3):
            await self.pilot.pause(0)

    async def ask(self, text: str) -> Turn:
        """Send `text` and return the run that the agent receives."""
        before = len(self.agent.turns)
        await self.type(text)
        await self.press("enter")
        await self.until(lambda: len(self.agent.turns) > before, "a run")
        return self.agent.turns[before]

    async def answered(self, question: str, answer: str) -> None:
        """Send a question, answer it, and wait until both are saved."""
        turn = await self.ask(question)
        turn.write(answer)
        turn.finish()
        await self.until(lambda: "saved" in self.status)

    async def prompts(self, text: str) -> None:
        """Wait until `text` is the whole text of the prompt."""
        await self.until(lambda: self.prompt.text == text, f"{text!r} in the prompt")

    async def connected(self) -> None:
        """Wait until the model is loaded, or its load has failed."""
        await self.until(lambda: "ctx" in self.status or "No model" in self.status)

    @property
    def lines(self) -> list[str]:
        """The text on the screen, line by line."""
        # Otherwise Textual would draw an empty screen below a panel, and keep it.
        visible_screen_stack.set(self.app._background_screens)
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    @property
    def screen(self) -> str:
        return "\n".join(self.lines)

    @property
    def view(self) -> str:
        """The text of the transcript; empty while one tab replaces another."""
        for transcript in self.app.screen_stack[0].query(Transcript):
            return "\n".join(self.lines[transcript.region.y : transcript.region.bottom])
        return ""

    async def reads(self, text: str) -> None:
        """Wait until `text` is in the transcript."""
        await self.until(lambda: text in self.view, text)

    @property
    def status(self) -> str:
        return self.lines[-2]

    @property
    def tabs(self) -> list[str]:
        """The labels of the tabs."""
        return [tab.label_text for tab in self.app.screen_stack[0].query(Tab)]

    async def has_tabs(self, *labels: str) -> None:
        """Wait until the tabs have these labels."""
        await self.until(lambda: self.tabs == list(labels), f"tabs {labels}")

    @property
    def toasts(self) -> list[str]:
        """The text of the notices on the screen."""
        return [str(toast.render()) for toast in self.app.screen.query("Toast").results(Static)]

    async def tells(self, text: str) -> None:
        """Wait until a notice contains `text`, even across several lines."""
        await self.until(lambda: any(text in toast for toast in self.toasts), f"a notice: {text}")

    @property
    def prompt(self) -> Prompt:
        return self.app.screen_stack[0].query_one(Prompt)

    @property
    def transcript(self) -> Transcript:
        return self.app.screen_stack[0].query_one(Transcript)

    @property
    def shown(self) -> list[str]:
        """The texts of the mounted messages."""
        views = self.app.screen_stack[0].query("Transcript MessageView").results(MessageView)
        return [view.entry.text for view in views]  # none while one tab replaces another


def assembly(agent: ScriptedAgent, storage: SessionStorage) -> Callable[[], Backend]:
    """Return the function that creates the backend of a window with a scripted agent."""
    return lambda: Backend(
        KoelClient(agent, storage=storage, reducers=[keep_usage]), storage, agent
    )


@asynccontextmanager
async def opened(
    *,
    size: tuple[int, int] = (80, 24),
    agent: ScriptedAgent | None = None,
    storage: SessionStorage | None = None,
    thread: str | None = None,
    theme: str | None = None,
    connect: Callable[[], Backend] | None = None,
    home: Path | None = None,
    low_bandwidth: bool = False,
    line_length: int = LINE_LENGTH,
    keymap: KeyMap | None = None,
    themes: Path | None = None,
) -> AsyncIterator[Window]:
    """Open a window; with the default agent and backend, wait until it is connected."""
    scripted = agent or ScriptedAgent()
    app = KoelApp(
        connect or assembly(scripted, storage or MemoryStorage()),
        thread=thread,
        theme=theme,
        home=home,
        low_bandwidth=low_bandwidth,
        line_length=line_length,
        keymap=keymap,
        themes=themes,
    )
    async with app.run_test(size=size, notifications=True) as pilot:
        window = Window(pilot, app, scripted)
        if agent is None and connect is None:
            await window.connected()
        yield window


def messages(count: int, text: str = "message {n}") -> ChatState:
    """Return a state of `count` messages, the user and the assistant in turn."""
    roles = ("user", "assistant")
    return ChatState(
        messages=tuple(Message(f"m{n}", roles[n % 2], text.format(n=n)) for n in range(count))
    )
