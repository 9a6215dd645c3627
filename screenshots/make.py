"""Take the screenshots of the README with the real program and model in a temporary home.

uv run python screenshots/make.py
"""

import asyncio
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pexpect
import pyte
from rich.console import Console
from textual.events import Paste
from textual.pilot import Pilot

from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from koel_tui.ui.app.app import KoelApp

HERE = Path(__file__).parent
SEA = "Explain in two sentences why the sea is salty."
ROBOT = "Write a short story about a robot who learns to paint. Use a heading."
TIPS = "Give me three tips for better sleep as a list."
PIRATE = "You are an old pirate who answers in one short sentence."
FISH = "What do you like about the sea?"
THINKING_TEMPLATE = BUILT_IN_TEMPLATES["chatml"] + "{{ '<think>\\n' }}"
"""The template of a model that always thinks first."""


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
async def studio(
    columns: int,
    rows: int,
    thread: str | None = None,
    *,
    model: Path | None = None,
    max_output_tokens: int = 220,
) -> AsyncIterator[Studio]:
    """Run the app in a terminal of this size, by default with the starter model."""
    from koel_tui.cli.wiring import create_backend
    from koel_tui.settings import load_settings

    settings = load_settings(
        temperature=0.2, seed=4, max_output_tokens=max_output_tokens, titles=False, model=model
    )
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
    await take_incomplete_answers()
    take_import()


async def take_incomplete_answers() -> None:
    """Take an answer that was cut, an answer with only thinking, and a model without a template."""
    home = Path(os.environ["HOME"])
    thinker = rewrite_starter(home / "Thinker.gguf", "--chat-template", THINKING_TEMPLATE)
    base = rewrite_starter(home / "Base.gguf", "--remove-metadata", "tokenizer.chat_template")
    async with studio(80, 24, max_output_tokens=40) as window:
        await window.ask(ROBOT)
        await window.until(lambda text: "The answer was cut" in text and answered(text))
        window.picture("cut-answer")
    async with studio(80, 24, model=thinker, max_output_tokens=40) as window:
        await window.press("ctrl+n")
        await window.ask(ROBOT)
        await window.until(lambda text: "only thought" in text and answered(text))
        window.picture("thinking-only")
    async with studio(80, 24, model=base) as window:
        await window.press("ctrl+n")
        await window.ask(ROBOT)
        await window.until(lambda text: "no chat template" in text)
        window.picture("no-template")


def rewrite_starter(path: Path, *changes: str) -> Path:
    """Write a copy of the starter model with other metadata; return its path."""
    from koel_tui.models.starter import starter_model

    command = str(Path(sys.executable).with_name("gguf-new-metadata"))
    subprocess.run(
        [command, "--force", *changes, str(starter_model()), str(path)],
        check=True,
        capture_output=True,
    )
    return path


def take_import() -> None:
    """Take a running import of a large export."""
    export = Path(os.environ["HOME"]) / "conversations.json"
    export.write_text(json.dumps([conversation(number) for number in range(800)]))
    screen = pyte.Screen(80, 24)
    stream = pyte.Stream(screen)
    program = str(Path(sys.executable).with_name("koel-chat"))
    child = pexpect.spawn(
        program, ["threads", "import", str(export)], dimensions=(24, 80), encoding="utf-8"
    )
    child.delaybeforesend = None
    while "5" not in screen.display[-1].partition("%")[0]:
        stream.feed(child.read_nonblocking(4096, timeout=30))
    child.close(force=True)
    console = Console(record=True, width=80, file=io.StringIO())
    for line in screen.display:
        console.print(line, markup=False, highlight=False, no_wrap=True)
    console.save_svg(str(HERE / "import.svg"), title="koel-chat threads import")


def conversation(number: int) -> dict[str, object]:
    """Return a conversation of a ChatGPT export with 20 messages."""
    nodes = {}
    for index in range(20):
        name = f"{number}-{index}"
        nodes[name] = {
            "id": name,
            "parent": f"{number}-{index - 1}" if index else None,
            "children": [f"{number}-{index + 1}"] if index < 19 else [],
            "message": {
                "id": name,
                "author": {"role": "user" if index % 2 == 0 else "assistant"},
                "create_time": 1_700_000_000 + 100 * number + index,
                "content": {"content_type": "text", "parts": [f"{SEA} " * 20]},
            },
        }
    return {
        "id": f"conversation-{number}",
        "title": f"The sea, part {number}",
        "create_time": 1_700_000_000 + 100 * number,
        "mapping": nodes,
        "current_node": f"{number}-19",
    }


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        for name in ("DATA", "CONFIG", "CACHE", "STATE"):
            os.environ[f"XDG_{name}_HOME"] = f"{home}/{name.lower()}"
        asyncio.run(main())
