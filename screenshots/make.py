"""Take the screenshots of the README with the real program and model in a temporary home.

uv run python screenshots/make.py
"""

import asyncio
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from textual.events import Paste
from textual.pilot import Pilot

from koel_tui.ui.app.app import KoelApp

HERE = Path(__file__).parent
SEA = "Explain in two sentences why the sea is salty."
ROBOT = "Write a short story about a robot who learns to paint. Use a heading."
TIPS = "Give me three tips for better sleep as a list."
PIRATE = "You are an old pirate who answers in one short sentence."
FISH = "What do you like about the sea?"


class Studio:
    """A driver of the app without a terminal, which takes screenshots."""

    def __init__(self, app: KoelApp, pilot: Pilot[int]) -> None:
        self._app = app
        self._pilot = pilot

    async def ask(self, text: str) -> None:
        """Send `text` as a user would."""
        self._app.post_message(Paste(text))
        await self._pilot.pause()
        await self._pilot.press("enter")

    async def press(self, *keys: str) -> None:
        """Press keys."""
        await self._pilot.press(*keys)

    async def until(self, condition: Callable[[str], object], seconds: float = 120) -> None:
        """Wait until `condition` is true for the text on the screen; raise TimeoutError."""
        end = time.monotonic() + seconds
        while not condition(self.text):
            if time.monotonic() > end:
                raise TimeoutError(f"never seen on the screen:\n{self.text}")
            await self._pilot.pause(0.02)

    @property
    def text(self) -> str:
        """The text on the screen."""
        size = self._app.size
        lines = self._app.screen._compositor.render_strips(size)
        return "\n".join(strip.text.rstrip() for strip in lines)

    def picture(self, name: str) -> None:
        """Save a screenshot as NAME.svg."""
        svg = self._app.export_screenshot(title="koel-chat")
        (HERE / f"{name}.svg").write_text(svg, encoding="utf-8")


@asynccontextmanager
async def studio(columns: int, rows: int, thread: str | None = None) -> AsyncIterator[Studio]:
    """Run the app in a terminal of this size."""
    from koel_tui.cli.wiring import create_backend
    from koel_tui.settings import load_settings

    settings = load_settings(temperature=0.2, seed=4, max_output_tokens=220, titles=False)
    app = KoelApp(lambda: create_backend(settings), thread=thread)
    async with app.run_test(size=(columns, rows)) as pilot:
        opened = Studio(app, pilot)
        await opened.until(lambda text: "/8.2k" in text)
        yield opened
        await opened.press("ctrl+q")


def answered(text: str) -> bool:
    """Return whether the screen shows a finished and saved answer, and none is being generated."""
    return "tok/s" in text and "⌛" not in text and "queued" not in text and "· saved" in text


async def main() -> None:
    """Take all screenshots: ask in two tabs, search, compare side by side, regenerate."""
    async with studio(100, 30) as window:
        await window.ask(SEA)
        await window.until(answered)
        await window.press("ctrl+n")
        await window.ask(ROBOT)
        await window.until(lambda text: "⌛" in text and len(text.split()) > 150)
        window.picture("two-tabs")
        await window.until(answered)
        await window.press("ctrl+n")
        await window.ask(TIPS)
        await window.until(answered)
    async with studio(120, 30, thread=SEA) as window:
        await window.until(lambda text: SEA in text)
        await window.press("ctrl+o")
        await window.until(lambda text: "Give me three" in text)
        await window.press(*"caffe")
        await window.until(lambda text: "in the text" in text and text.lower().count("caffe") > 4)
        window.picture("library")
        await window.press("escape")
    async with studio(100, 30, thread=SEA) as window:
        await window.until(lambda text: SEA in text)
        await window.press("ctrl+n", "f2")
        await window.until(lambda text: "This thread" in text)
        await window.press("shift+tab")
        await window.ask(PIRATE)
        window.picture("thread-settings")
        await window.press("tab", "enter", "alt+s")
        await window.until(lambda text: "A new thread" in text)
        await window.press("down")
        await window.press("enter")
        await window.ask(FISH)
        await window.until(lambda text: "⌛" in text)
        await window.until(answered)
        window.picture("side-by-side")
    async with studio(80, 24, thread=SEA) as window:
        await window.until(lambda text: SEA in text)
        await window.press("ctrl+r")
        await window.until(lambda text: "‹2/2›" in text and answered(text))
        window.picture("branches")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        for name in ("DATA", "CONFIG", "CACHE", "STATE"):
            os.environ[f"XDG_{name}_HOME"] = f"{home}/{name.lower()}"
        asyncio.run(main())
