"""The window and the configuration of version 0.1 in this version.

`expected.json` is what 0.1 itself read from the same directories.
"""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.app import App

from koel_tui import paths
from koel_tui.cli.main import run
from koel_tui.conversation.system_prompts import SystemPrompts
from koel_tui.settings import load_settings
from koel_tui.storage import EncryptedFileStorage, JsonFileStorage, Passphrase
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.ui.app.themes import read_themes
from koel_tui.ui.keys.key_table import KEYS, PROMPT_KEYS
from koel_tui.ui.keys.keymap import parse_keymap
from koel_tui.workspace.prompt_history_file import PromptHistoryFile
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, assembly, opened
from tests.upgrade.directories import FULL, expected, install

EXPECTED = expected()
RENAMED = {
    "revise": "edit_message",
    "go_on": "continue_answer",
    "figures": "stats",
    "render_plain": "toggle_rendering",
}
"""Actions of 0.1 that have another name now."""
NOT_SAVED = "A question that could not be saved"
LONG_PASTE = "".join(f"line {number} of a long paste\n" for number in range(30))


@pytest.fixture
def installed(private_home: Path) -> Path:
    install(FULL / "plain", private_home)
    return private_home


@asynccontextmanager
async def window_of(storage: FileStorage, home: Path | None) -> AsyncIterator[Window]:
    """Open the window as `koel-chat` does, with a scripted agent."""
    settings, agent = load_settings(), ScriptedAgent()
    async with opened(
        size=(200, 40),
        agent=agent,
        connect=assembly(agent, storage),
        home=home,
        keymap=parse_keymap(settings.keys),
        theme=settings.theme,
        themes=paths.themes_dir(),
    ) as window:
        await window.connected()
        yield window


def test_every_setting_has_its_value(installed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = load_settings()
    found = {
        name: dict(value) if name == "keys" else json.loads(json.dumps(value, default=str))
        for name, value in settings
        if name in EXPECTED["settings"]
    }
    assert found == EXPECTED["settings"]
    assert run(["config", "show"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert 'chat_template = "gemma"' in said.out and '"tab.new" = "f13' in said.out


def test_themes_and_system_prompts_are_there(installed: Path) -> None:
    themes, problems = read_themes(paths.themes_dir(), ())
    fields = [{k: v for k, v in vars(theme).items() if v is not None} for theme in themes]
    assert (fields, problems) == (EXPECTED["themes"], [])
    prompts = SystemPrompts(paths.system_prompts_dir()).all()
    assert [{"name": each.name, "text": each.text} for each in prompts] == EXPECTED["roles"]


def test_every_binding_of_0_1_is_known_and_has_its_action(installed: Path) -> None:
    keymap = parse_keymap(load_settings().keys)
    now = {key.id: key for key in keymap.keys}
    assert {
        name: {"keys": now[name].names, "action": now[name].action, "group": now[name].group}
        for name in EXPECTED["keys"]
    } == {
        name: {**key, "action": RENAMED.get(key["action"], key["action"])}
        for name, key in EXPECTED["keys"].items()
    }
    remapped = {key.id for key in keymap.remapped}
    assert remapped == {key.id for key in (*KEYS, *PROMPT_KEYS) if not key.fixed}


async def test_every_key_of_0_1_runs_its_action(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keymap = parse_keymap(load_settings().keys)
    ran: list[object] = []

    async def record(app: App[int], action: object, *args: object, **options: object) -> bool:
        ran.append(action)
        return True

    async with opened(keymap=keymap) as window:
        monkeypatch.setattr(type(window.app), "run_action", record)
        for key in keymap.keys:
            for name in key.names if not key.fixed else ():
                ran.clear()
                await window.press(name)
                await window.until(lambda: bool(ran), f"the action of {key.id}")
                assert ran == [key.action], name
        for key in KEYS:  # the default keys no longer do anything
            ran.clear()
            await window.press(key.names[0])
            assert key.action not in ran
        monkeypatch.undo()


async def test_tabs_and_drafts_are_restored(installed: Path) -> None:
    first, second = (EXPECTED["tabs"][name]["tabs"] for name in ("tabs-1.json", "tabs-2.json"))
    async with window_of(JsonFileStorage(paths.threads_dir()), paths.state_dir()) as window:
        await window.tells("Restored unsaved work from the last session")
        tabs = list(window.app._workspace.tabs)
        restored = [(each.title, each.draft) for each in tabs]
        before = [(tab["title"] or "New thread", tab["draft"]["text"]) for tab in first + second]
        assert restored == [*before, ("New thread", "a draft that could not be saved")]
        saved = [tab["thread"] for tab in first + second if tab["thread"] is not None]
        assert [each.thread_id for each in tabs if each.thread_id in saved] == saved
        assert tabs.index(window.app._workspace.active) == EXPECTED["tabs"]["tabs-1.json"]["active"]
        assert window.app.theme == "ember"
        assert len(window.toasts) == 1, "nothing else is reported"
        await window.press("alt+f5")  # "tab.3", with a large paste in its draft
        await window.reads("Fair.")
        assert window.prompt.whole_text == f"See this: {LONG_PASTE}"
        await window.press("alt+f3")  # "tab.1", with branches
        await window.reads("Paris and Rome.")
        assert window.app._workspace.active.meta.title == "Capitals"
        await window.press("alt+shift+c")  # "branch.next"
        await window.reads("Rome, then Paris.")
    assert not list(paths.recovery_dirs()[0].iterdir())


async def test_recovery_files_are_restored(installed: Path) -> None:
    storage = JsonFileStorage(paths.threads_dir())
    async with window_of(storage, paths.state_dir()) as window:
        await window.tells(NOT_SAVED)
    for recovered in EXPECTED["recovery"]:
        for thread in recovered["threads"]:
            state = await storage.load(thread["id"])
            assert state is not None
            contents = [message["content"] for message in thread["state"]["messages"]]
            assert [message.content for message in state.messages] == contents


async def test_an_encrypted_recovery_file_is_restored(private_home: Path) -> None:
    install(FULL / "encrypted", private_home)
    passphrase = (private_home / "passphrase").read_text()
    storage = EncryptedFileStorage(paths.threads_dir(), key=Passphrase(lambda new: passphrase))
    async with window_of(storage, None) as window:
        await window.tells("'Secret', 1 draft")
        assert "a secret draft" in [each.draft for each in window.app._workspace.tabs]
    recovered = await storage.load("unsaved secret")
    assert recovered is not None and recovered.messages[1].content == "A secret answer."


async def test_the_prompt_history_is_restored(installed: Path) -> None:
    history = PromptHistoryFile(paths.state_dir() / "history.jsonl").read()
    assert [draft.to_json() for draft in history] == EXPECTED["history"]
    async with window_of(JsonFileStorage(paths.threads_dir()), paths.state_dir()) as window:
        await window.press("f13")  # "tab.new"
        await window.prompts("")
        for draft in reversed(EXPECTED["history"]):
            await window.press("alt+ctrl+c")  # "prompt.previous"
            await window.prompts(draft["text"])
        await window.press("alt+ctrl+d")  # "prompt.next"
        await window.prompts(EXPECTED["history"][1]["text"])
