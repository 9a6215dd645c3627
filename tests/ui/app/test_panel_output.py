"""Tests that panels, notices and file names send no control characters to the terminal."""

from pathlib import Path

import pytest
from textual.widgets import Input

from koel_tui import paths
from koel_tui.conversation.backend import Backend
from koel_tui.protocol import ChatState, Message
from koel_tui.session import KoelClient
from koel_tui.storage import JsonFileStorage, MemoryStorage, StorageError
from koel_tui.storage.search.thread_index import ThreadIndex
from koel_tui.text import drop_controls
from tests.ui.composer.test_attachments import types
from tests.ui.scripted import ScriptedAgent
from tests.ui.terminal_output import SIZE, Harmless
from tests.ui.window import opened


def name_of(text: str) -> str:
    """Return the text as a valid file name of at most 200 bytes."""
    return text.replace("/", "").replace("\0", "").encode()[:200].decode(errors="ignore")


async def test_previews_and_search_hits_are_sanitized(
    worst: str, harmless: Harmless, tmp_path: Path
) -> None:
    agent, storage = ScriptedAgent(), JsonFileStorage(tmp_path / "threads")
    said = tuple(Message(f"m{n}", "user", f"storm {n} {worst}") for n in range(3))
    await storage.save("t", ChatState(messages=said))
    await storage.update_meta("t", title=f"title {worst}")
    index = ThreadIndex(storage, tmp_path / "cache")

    def connect() -> Backend:
        return Backend(KoelClient(agent, storage=storage), storage, agent, index=index)

    async with opened(size=SIZE, agent=agent, connect=connect) as window:
        await window.connected()
        await window.press("ctrl+o")
        await window.sees("storm 0")  # in the preview
        harmless(window)
        await window.type("storm")
        await window.sees("in the text")
        harmless(window)
        await window.press("down", "down")
        await window.sees("storm 2")
        harmless(window)
        await window.press("ctrl+s")
        await window.sees("Export as")
        await window.press("enter")
        await window.sees("Save as")
        harmless(window)
        await window.type(f"sub/none {worst}")
        await window.press("enter")
        await window.sees("cannot be written")
        harmless(window)
        await window.press("escape")
        await window.until(lambda: getattr(window.app.screen, "_acting", True) is False)
        await window.press("f2")
        await window.sees("Rename")
        harmless(window)
        await window.press("escape")
        await window.until(lambda: getattr(window.app.screen, "_acting", True) is False)
        await window.press("ctrl+u", "ctrl+d")
        await window.sees("is in the trash")
        harmless(window)
        await window.press("ctrl+t")
        await window.sees("restores it")
        harmless(window)


async def test_settings_and_roles_of_a_thread_are_sanitized(
    worst: str, harmless: Harmless, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = paths.system_prompts_dir()
    directory.mkdir(parents=True)
    (directory / f"role {name_of(worst)}.md").write_text(f"be {worst}")
    storage = MemoryStorage()
    await storage.save("t", ChatState(messages=(Message("u", "user", "asked"),)))
    await storage.update_meta(
        "t", title=f"title {worst}", system=f"who {worst}", wanted_model=f"model {worst}",
        wanted_lora=f"lora {worst}",
    )  # fmt: skip
    async with opened(size=SIZE, storage=storage, thread="t") as window:
        await window.reads("asked")
        await window.press("f2")
        await window.sees("This thread")
        await window.sees("who <")
        harmless(window)
        await window.press("enter")
        await window.sees("model <")  # the model does not exist
        harmless(window)
        await window.press("ctrl+o")
        await window.sees("System prompts")
        await window.sees("role <")
        harmless(window)


async def test_settings_of_the_program_are_sanitized(
    worst: str, harmless: Harmless, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SYSTEM", "THEME", "MODEL", "MODEL_FOLDERS"):
        monkeypatch.setenv(f"KOEL_{name}", f"{name} {worst}".replace("\0", ""))
    async with opened(size=SIZE) as window:
        await window.press("f9")
        await window.sees("SYSTEM <")
        harmless(window)
        await window.type(f"theme {worst}")
        await window.until(lambda: "theme <" in window.app.screen.query_one(Input).value)
        harmless(window)
        await window.press("escape")
        monkeypatch.setenv("KOEL_SEED", f"seed {worst}".replace("\0", ""))
        await window.press("f9")
        await window.sees("Setting 'seed'")
        harmless(window)


async def test_attached_files_are_sanitized(
    worst: str, harmless: Harmless, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    name = name_of(worst)
    (tmp_path / f"text {name}").write_text(f"inside {worst}".replace("\0", ""))
    (tmp_path / f"zero {name}").write_bytes(b"\0")
    async with opened(size=SIZE) as window:
        await types(window, "@text")
        await window.sees("text <")
        harmless(window)
        await window.press("enter")
        await window.until(lambda: window.prompt.text.startswith("[text"))
        harmless(window)
        await window.press("enter")
        await window.reads("inside <")
        harmless(window)
        await window.type(f"{tmp_path}/zero {name}".replace("\x7f", ""))
        harmless(window)


async def test_branches_and_summaries_are_sanitized(worst: str, harmless: Harmless) -> None:
    async with opened(size=SIZE) as window:
        await window.answered(f"ask {worst}", f"one {worst}")
        await window.press("ctrl+r")
        await window.until(lambda: len(window.agent.turns) == 2)
        window.agent.turns[1].write(f"two {worst}")
        window.agent.turns[1].finish()
        await window.reads("‹2/2›")
        harmless(window)
        await window.press("alt+left")
        await window.reads("‹1/2›")
        harmless(window)
        await window.press("alt+n")
        await window.until(lambda: len(window.tabs) == 2)
        harmless(window)
        await window.press("alt+s")
        await window.sees("Side by side")
        harmless(window)
        await window.press("down", "enter")
        await window.misses("Side by side")
        harmless(window)  # each column has a heading
        await window.press("alt+shift+s")
        await window.until(lambda: len(window.agent.turns) == 3)
        window.agent.turns[2].write(f"summary {worst}")
        window.agent.turns[2].finish()
        await window.until(lambda: "summary <" in "".join(window.screen.split("\n")))
        harmless(window)


async def test_code_blocks_queued_messages_and_commands_are_sanitized(
    worst: str, harmless: Harmless
) -> None:
    line = worst.replace("\n", "")
    async with opened(size=SIZE) as window:
        code = f"```\nfirst {line}\n```\n\n```\nsecond {line}\n```"
        await window.answered(f"ask {line}", code)
        await window.press("alt+shift+b")
        await window.sees("Code blocks")
        await window.sees("1 first")
        harmless(window)
        await window.press("enter")
        await window.sees("Save as")
        harmless(window)
        await window.press("escape", "escape")
        await window.ask("go on")
        await window.type(f"waits {line}")
        await window.press("enter", "alt+q")
        await window.sees("Queued messages")
        harmless(window)
        await window.press("escape", "f4")
        await window.sees("Open tabs")
        harmless(window)
        await window.press("escape", "ctrl+p")
        await window.type(f"theme {line}")
        harmless(window)


class Complaining(MemoryStorage):
    """A storage whose errors contain untrusted text."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self._words = words

    async def trash(self, thread_id: str) -> None:
        raise StorageError(f"trash {self._words}")

    async def load(self, thread_id: str) -> ChatState | None:
        raise StorageError(f"preview {self._words}")


async def test_errors_and_figures_are_sanitized(worst: str, harmless: Harmless) -> None:
    storage = Complaining(worst)
    await storage.save("t", ChatState(messages=(Message("u", "user", "asked"),)))
    async with opened(size=SIZE, storage=storage) as window:
        turn = await window.ask("hello")
        turn.measure(model=f"model {worst}", prompt_tokens=1, context_tokens=10)
        turn.report(phase=worst, message=worst)
        turn.finish()
        await window.until(lambda: "saved" in window.status)
        await window.press("f3")
        await window.sees("Statistics")
        harmless(window)
        await window.press("escape", "ctrl+o")
        await window.sees("Saved threads")
        await window.press("down", "ctrl+d")
        await window.sees("trash <")
        harmless(window)
        for said in (f"told {worst}", f"told\x1b]0;{worst}"):
            window.app.notify(said)
        await window.sees("told")
        harmless(window)


async def test_messages_about_damaged_files_are_sanitized(
    worst: str, harmless: Harmless, tmp_path: Path
) -> None:
    storage = JsonFileStorage(tmp_path / "threads")
    await storage.save("t", ChatState(messages=(Message("u", "user", "asked"),)))
    (file,) = (tmp_path / "threads").glob("t-*.json")
    file.write_text(f'{{"format": "{drop_controls(worst)}\\u001b]0;owned\\u0007"')
    async with opened(size=SIZE, storage=JsonFileStorage(tmp_path / "threads")) as window:
        await window.sees("damaged")
        harmless(window)
        await window.press("ctrl+o")
        await window.sees("esc closes")
        harmless(window)
