"""Everything that version 0.1 wrote is there in this version.

`v0_1` holds the directories of koel-chat 0.1 after three tabs, an answer generated twice, an edited
question, a thread with its own system prompt and sampling, a draft, a deleted thread, a remapped
key, a thread in a recovery file and a KV snapshot; and the same threads encrypted.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.session import ThreadSettings
from koel_tui.storage import JsonFileStorage
from tests.cli.commands import koel
from tests.e2e.terminal import Terminal
from tests.upgrade.directories import FILES, install

FRANCE = "e3b856fe-2c30-439f-9cae-e95f8ba8f32c"
RIVERS = "c4b86378-4821-49ee-bc1d-a0672103de62"
RIVERS_FILE = "t-9c04897d0c8c7279d4de81753b172f21.json"
PIRATE = "667c4bf3-2846-46ee-899e-62f7a5cea4bc"
TITLES = ["Pirate", "Name three rivers in Europe.", "What is the capital of France? And of Italy?"]
DRAFT = "a draft that was not sent, with umlauts äöü"


async def test_threads_of_0_1_keep_their_messages_branches_and_settings(private_home: Path) -> None:
    install(FILES / "plain", private_home)
    storage = JsonFileStorage(paths.threads_dir())
    assert sorted(await storage.list_threads()) == sorted([FRANCE, RIVERS, PIRATE])

    france = await storage.load(FRANCE)
    assert france is not None
    assert france.messages[0].content == TITLES[2]
    first_branches = [fork.branches[0][0].content for fork in france.forks]
    assert "What is the capital of France?" in first_branches
    assert len(france.forks) == 2

    meta = await storage.meta(PIRATE)
    settings = ThreadSettings.of_meta(meta)
    assert meta["title"] == "Pirate"
    assert settings.system == "You are a pirate."
    assert dict(settings.sampling) == {"temperature": 0.2}
    assert [each.title for each in await storage.trashed()] == ["This one goes to the trash."]


async def test_a_thread_of_0_1_is_the_same_after_it_was_saved_again(private_home: Path) -> None:
    install(FILES / "plain", private_home)
    storage = JsonFileStorage(paths.threads_dir())
    for thread in (FRANCE, RIVERS, PIRATE):
        await storage.open(thread)
        before, meta = await storage.load(thread), await storage.meta(thread)
        assert before is not None
        await storage.save(thread, before)
        assert await storage.load(thread) == before
        assert {**await storage.meta(thread), "updated": meta["updated"]} == meta
        await storage.close(thread)


def test_encrypted_threads_of_0_1_open_with_their_passphrase(private_home: Path) -> None:
    install(FILES / "encrypted", private_home)
    secret = {"KOEL_PASSPHRASE_FILE": str(private_home / "passphrase")}
    listed = koel("threads", "list", "--json", environment=secret)
    assert [json.loads(line)["title"] for line in listed.stdout.splitlines()] == TITLES
    shown = koel("threads", "show", "Pirate", environment=secret)
    assert shown.returncode == 0
    assert "Who are you?" in shown.stdout
    restored = koel("threads", "restore", "This one goes to the trash.", environment=secret)
    assert restored.returncode == 0, restored.stderr


def test_the_configuration_of_0_1_is_accepted(private_home: Path) -> None:
    install(FILES / "plain", private_home)
    shown = koel("config", "show")
    assert shown.returncode == 0, shown.stderr
    assert "max_output_tokens = 48" in shown.stdout
    assert 'theme = "nord"' in shown.stdout


@pytest.mark.timeout(240)
async def test_the_window_restores_tabs_draft_history_recovery_and_keys_of_0_1(
    private_home: Path,
) -> None:
    install(FILES / "plain", private_home)
    with Terminal(environment={"KOEL_MAX_OUTPUT_TOKENS": "4"}) as terminal:
        terminal.until(lambda screen: DRAFT in screen and "ctx" in screen, seconds=60)
        for label in ("1 What is the capital", "2 Name three rivers", "3 Pirate"):
            assert label in terminal.label_row
        terminal.press("ctrl+u")
        terminal.until(lambda screen: DRAFT not in screen)
        terminal.press("up")
        terminal.until(lambda screen: "This one goes to the trash." in screen)
        terminal.press("ctrl+u")
        terminal.ask("And two more?")
        saved = paths.threads_dir() / RIVERS_FILE
        terminal.until(
            lambda _: (
                saved.read_text().count('"role":"assistant"') == 2 and "⌛" not in terminal.text
            ),
            seconds=90,
        )
        terminal.type("\x05")  # ctrl+e, to which 0.1's [keys] moved "tab.new"
        terminal.until(lambda _: "New thread" in terminal.label_row)
        terminal.press("ctrl+q")
        assert terminal.wait() == 0
    storage = JsonFileStorage(paths.threads_dir())
    rivers = await storage.load(RIVERS)
    assert rivers is not None
    assert [each.role for each in rivers.messages] == ["user", "assistant"] * 2
    unsaved = [each for each in await storage.summaries() if each.title == "Unsaved thread"]
    assert len(unsaved) == 1
    recovered = await storage.load(unsaved[0].id)
    assert recovered is not None
    assert recovered.messages[1].content == "An answer that could not be saved."
    assert recovered.messages[0].timestamp == datetime(2026, 11, 28, 21, 45, tzinfo=UTC)
