"""Tests of thread settings and the user's system prompts: fields, refusal, sending, saving."""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import Input, TextArea

from koel_tui import paths
from koel_tui.conversation.system_prompts import SystemPrompts
from koel_tui.conversation.thread_settings_form import (
    COMMON_FIELDS,
    FIELDS,
    FieldError,
    find_field,
    format_settings,
    parse_settings,
)
from koel_tui.protocol import Sampling, TurnSettings
from koel_tui.sampling_options import OPTIONS
from koel_tui.session import ThreadSettings
from koel_tui.storage import MemoryStorage
from koel_tui.ui.settings.thread_settings_panel import ThreadPanel
from tests.ui.window import Window, messages, opened

ALL = ThreadSettings(
    system="You are a pirate.",
    sampling={**{name: option.range.end for name, option in OPTIONS.items()}, "temperature": 0.25,
              "logit_bias": {5: -100.0, 17: 2.5}},
    max_output_tokens=99,
    thinking=512,
    stop=("\nUser:", "a, b"),
    model="a.gguf",
    lora="b.gguf",
    chat_template="gemma",
)  # fmt: skip


def test_formatted_thread_settings_are_parsed_to_the_same_values() -> None:
    texts = format_settings("A title", ALL)
    assert set(texts) == {field.key for field in FIELDS} and all(texts.values())
    assert parse_settings(texts, "You are a pirate.") == ALL
    assert parse_settings({}, " ") == ThreadSettings()
    assert ThreadSettings.of_meta(ALL.meta) == ALL


@pytest.mark.parametrize(
    ("key", "text", "allowed"),
    [
        ("temperature", "hot", "from 0 to 1000000"),
        ("temperature", "-1", "from 0 to 1000000"),
        ("temperature", "nan", "from 0 to 1000000"),
        ("top_p", "1.5", "from 0 to 1"),
        ("top_k", "1.5", "whole number from 0"),
        ("seed", "4294967296", "whole number from 0 to 4294967295"),
        ("seed", "²", "whole number"),
        ("max_output_tokens", "0", "from 1"),
        ("thinking", "perhaps", "off, on, or a whole number from 0"),
        ("thinking", "-1", "off, on, or a whole number from 0"),
        ("stop", "a,,b", "none of them empty"),
        ("stop", "a\\x", "separated by commas"),
        ("logit_bias", "5", "pairs id:bias"),
        ("chat_template", "smoke signals", "one of own, chatml, gemma, llama3, mistral, none"),
    ],
)
def test_an_invalid_setting_is_refused_with_its_limits(key: str, text: str, allowed: str) -> None:
    with pytest.raises(FieldError, match=allowed) as refused:
        parse_settings({key: text}, "")
    assert refused.value.key == key


@pytest.mark.parametrize(
    "meta",
    [{}, {"system": 5, "sampling": [], "thinking": "yes", "lora": {}, "max_output_tokens": True},
     {"sampling": {"temperature": "hot", "top_k": True, "made_up": 1}, "wanted_model": 7}],
)  # fmt: skip
def test_invalid_saved_thread_settings_are_ignored(meta: Mapping[str, Any]) -> None:
    assert replace(ThreadSettings.of_meta(meta), unusable={}) == ThreadSettings()


def test_roles_are_files_and_a_bad_one_is_left_out(tmp_path: Path) -> None:
    roles = SystemPrompts(tmp_path / "roles")
    assert roles.all() == []
    roles.directory.mkdir()
    (roles.directory / "Pirate.md").write_text("You are a pirate.")
    (roles.directory / "b.txt").write_bytes(b"Be \xff kind.")
    (roles.directory / "long.md").write_text("x" * 70_000)
    (roles.directory / "empty.md").write_text(" ")
    (roles.directory / "other.py").write_text("x")
    (roles.directory / "folder.md").mkdir()
    os.mkfifo(roles.directory / "pipe.md")
    assert [(role.name, role.text) for role in roles.all()] == [
        ("Pirate", "You are a pirate."), ("b", "Be \ufffd kind."),
    ]  # fmt: skip


async def settings(window: Window) -> ThreadPanel:
    await window.press("f2")
    await window.until(lambda: isinstance(window.app.screen, ThreadPanel))
    await window.sees("This thread")
    assert isinstance(window.app.screen, ThreadPanel)
    return window.app.screen


async def focused(window: Window, wanted: str) -> None:
    await window.until(lambda: getattr(window.app.focused, "id", "") == wanted, wanted)


async def fill(window: Window, key: str, text: str) -> None:
    panel = window.app.screen
    panel.query_one(f"#field-{key}", Input).focus()
    await window.press("end", "ctrl+u")
    await window.type(text)


async def test_settings_apply_from_the_next_turn_on_and_are_restored() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        await settings(window)
        await window.type("Pirates")
        await fill(window, "temperature", "0.2")
        await window.press("shift+tab", "shift+tab")
        await window.type("You are a pirate.")
        await window.press("tab")
        await window.press("enter")
        await window.has_tabs("1 Pirates")
        assert await storage.list_threads() == []
        turn = await window.ask("Who are you?")
        assert turn.settings == TurnSettings(
            system="You are a pirate.", sampling=Sampling(temperature=0.2)
        )
        turn.finish()
        await window.until(lambda: "saved" in window.status)
    (thread,) = await storage.list_threads()
    meta = await storage.meta(thread)
    assert meta["title"] == "Pirates" and meta["system"] == "You are a pirate."
    async with opened(storage=storage, thread=thread) as window:
        await window.has_tabs("1 Pirates")
        panel = await settings(window)
        assert panel.query_one("#field-temperature", Input).value == "0.2"
        await window.sees("You are a pirate.")
        await fill(window, "temperature", "")
        await window.press("enter")
        turn = await window.ask("And now?")
        assert turn.settings == TurnSettings(system="You are a pirate.")
        turn.finish()
        await window.until(lambda: "saved" in window.status)
    assert "sampling" not in await storage.meta(thread)


async def test_a_bad_value_is_refused_at_its_field_and_esc_changes_nothing() -> None:
    async with opened() as window:
        await settings(window)
        await window.type("Pirates")
        await fill(window, "top_p", "2")
        await window.sees("Top-p must be a number from 0 to 1, or empty.")
        await fill(window, "model", "/nowhere/model.gguf")
        await window.press("enter")
        await window.sees("Top-p must be a number from 0 to 1, or empty.")
        await window.until(lambda: window.app.focused is not None)
        assert window.app.focused is not None and window.app.focused.id == "field-top_p"
        await fill(window, "top_p", "0.5")
        await window.press("enter")
        await window.sees("nowhere")
        await window.press("escape")
        await window.has_tabs("1 New thread")


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
@pytest.mark.parametrize("key", ["typical_p", "mirostat_eta", "logit_bias"])
async def test_a_bad_value_in_a_hidden_field_is_shown_when_it_is_refused(
    key: str, size: tuple[int, int]
) -> None:
    async with opened(size=size) as window:
        await settings(window)
        await window.press(*["down"] * (1 + len(COMMON_FIELDS)), "right")
        await fill(window, key, "many")
        await focused(window, f"field-{key}")
        window.app.screen.query_one("#fold").focus()
        await window.press("left")
        await window.sees("17 more, 1 set")
        assert find_field(key).label not in window.screen
        await window.press("up")
        await focused(window, "field-seed")
        await window.press("enter")
        await focused(window, f"field-{key}")
        await window.sees(f"{find_field(key).label} must be")
        await window.sees("many")
        await fill(window, key, "")
        await window.press("enter")
        await window.until(lambda: len(window.app.screen_stack) == 1)


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_every_field_is_reached_by_keys(size: tuple[int, int]) -> None:
    async with opened(size=size) as window:
        await settings(window)
        for field in FIELDS[1:]:
            await window.press("down")
            if getattr(window.app.focused, "id", "") == "fold":
                await window.sees("right shows 17 more.")
                await window.press("enter", "down")
            await focused(window, f"field-{field.key}")
            await window.sees(field.label)
        await window.press("enter")
        await window.until(lambda: len(window.app.screen_stack) == 1)


async def test_a_role_is_saved_and_used_in_another_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(paths, "system_prompts_dir", lambda: tmp_path / "roles")
    async with opened() as window:
        await settings(window)
        await window.press("ctrl+s")
        await window.sees("There is no system prompt to save")
        await window.press("shift+tab")
        await window.type("You are a [red]pirate.")
        await window.press("ctrl+s")
        await window.sees("Save as")
        await window.press("end", "ctrl+u")
        await window.type("pirate.md")
        await window.press("enter")
        await window.sees("The system prompt is saved in")
        await window.press("escape", "escape", "ctrl+n")
        await settings(window)
        await window.press("ctrl+o")
        await window.sees("You are a [red]pirate.")
        await window.press("enter")
        await window.until(lambda: isinstance(window.app.screen, ThreadPanel))
        await window.press("enter")
        turn = await window.ask("Who are you?")
        assert turn.settings == TurnSettings(system="You are a [red]pirate.")
        turn.finish()


async def test_a_branch_keeps_the_settings_of_its_thread() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    await storage.update_meta("t", system="Be kind.", title="Kind")
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 1")
        await window.press("alt+n")
        await window.has_tabs("1 Kind", "2 Kind (branch)")
        turn = await window.ask("Go on")
        assert turn.settings == TurnSettings(system="Be kind.")
        turn.finish()


async def test_a_saved_setting_that_cannot_be_used_is_reported_and_stays_saved() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    saved = {"sampling": {"temperature": "hot", "top_p": 0.5}, "stop": "END"}
    await storage.update_meta("t", title="Old", **saved)
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 1")
        await window.sees("cannot be used: temperature, stop.")
        turn = await window.ask("Go on")
        assert turn.settings == TurnSettings(sampling=Sampling(top_p=0.5))
        turn.finish()
        await window.until(lambda: "saved" in window.status)
        conversation = window.app._workspace.active
        await conversation.configure("New", conversation.meta.settings)
        meta = await storage.meta("t")
        assert meta["title"] == "New" and {name: meta[name] for name in saved} == saved
        await settings(window)
        await window.press("enter")
        await window.until(lambda: not conversation.meta.unusable_settings)
        await window.until(lambda: "cannot be used" not in window.screen)
    meta = await storage.meta("t")
    assert meta["sampling"] == {"top_p": 0.5} and "stop" not in meta


@pytest.mark.parametrize("leave", ["alt+w", "ctrl+q"])
async def test_settings_are_saved_when_the_first_answer_is_cut_off(leave: str) -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        await settings(window)
        await window.type("Pirates")
        await window.press("enter")
        await window.has_tabs("1 Pirates")
        turn = await window.ask("Who are you?")
        turn.write("I a")
        await window.reads("I a")
        await window.press(leave)
        await window.until(turn.closed.is_set, "closed")
    (thread,) = await storage.list_threads()
    assert (await storage.meta(thread))["title"] == "Pirates"


async def test_a_tab_with_only_thread_settings_is_not_discarded() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(2))
    async with opened(storage=storage) as window:
        await settings(window)
        await fill(window, "temperature", "0.2")
        await window.press("enter")
        await window.until(lambda: len(window.app.screen_stack) == 1)
        await window.press("ctrl+o")
        await window.sees("message 0")
        await window.press("enter")
        await window.has_tabs("1 New thread", "2 message 0")
        await window.press("f5")
        await window.press("alt+w")
        await window.has_tabs("1 message 0")
        await window.press("alt+shift+w")
        await window.has_tabs("1 message 0", "2 New thread")
        turn = await window.ask("Who are you?")
        assert turn.settings == TurnSettings(sampling=Sampling(temperature=0.2))
        turn.finish()


@pytest.mark.parametrize("key", ["model", "lora"])
@pytest.mark.parametrize("name", ["~nobodyatall/x.gguf", "x" * 5000])
async def test_a_setting_with_an_unusable_file_is_refused(key: str, name: str) -> None:
    async with opened() as window:
        await settings(window)
        await fill(window, key, name)
        await window.press("enter")
        panel = window.app.screen
        assert isinstance(panel, ThreadPanel)
        await window.until(lambda: panel._file_error.key == key)
        await window.sees(str(panel._file_error)[:10])


async def test_the_default_role_is_not_interpreted_as_markup() -> None:
    defaults = {"system": "Use [/b] and [red]x"}
    panel = ThreadPanel("", ThreadSettings(), defaults, SystemPrompts(Path("x")))
    async with opened() as window:
        await window.app.push_screen(panel)
        await window.sees("Use [/b] and [red]x")


async def test_a_title_generated_while_the_settings_are_open_is_kept() -> None:
    async with opened() as window:
        (await window.ask("Who are you?")).finish()
        await window.until(lambda: "saved" in window.status)
        await settings(window)
        window.app._workspace.active.rename("Found")
        await window.press("enter")
        await window.has_tabs("1 Found")


@pytest.mark.parametrize("ticks", range(4))
async def test_closing_a_panel_before_it_is_mounted_is_safe(tmp_path: Path, ticks: int) -> None:
    async with opened() as window:
        panel = ThreadPanel("", ThreadSettings(), {}, SystemPrompts(tmp_path))
        window.app.call_later(window.app.push_screen, panel)
        await window.until(lambda: window.app.screen is panel)
        for _ in range(ticks):
            await asyncio.sleep(0)
        panel.dismiss()
        await window.ask("Still there?")


async def test_escape_pressed_twice_discards_the_edited_settings() -> None:
    async with opened() as window:
        await window.ask("Who are you?")
        await settings(window)
        await window.press("escape")  # no field has changed: the panel closes
        await window.until(lambda: len(window.app.screen_stack) == 1)
        await settings(window)
        await fill(window, "temperature", "1.5")
        await window.press("escape")
        await window.sees("esc again discards them")
        await fill(window, "temperature", "1.25")
        await window.press("f2")  # a changed value needs another confirmation
        await window.sees("enter applies them; esc again discards them")
        await fill(window, "seed", "5")
        await window.press("down", "escape")  # on "All samplers", where enter shows the fields
        await window.sees("tab, then enter, applies them")
        await window.press("up")
        await window.press("enter")
        await window.until(lambda: len(window.app.screen_stack) == 1)
        kept = window.app._workspace.active.meta.settings
        assert kept is not None and kept.sampling == {"temperature": 1.25, "seed": 5}
        await settings(window)
        window.app.screen.query_one(TextArea).text = "A long role"
        await window.press("escape", "escape")
        await window.until(lambda: len(window.app.screen_stack) == 1)
        assert window.app._workspace.active.meta.settings == kept


async def test_text_typed_right_after_a_tab_goes_to_the_next_field() -> None:
    async with opened() as window:
        await settings(window)
        burst = ["T", "shift+tab", "R", "tab", "S", "tab", "1"]
        for key in burst:
            window.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await focused(window, "field-temperature")
        await window.until(
            lambda: window.app.screen.query_one("#field-temperature", Input).value == "1"
        )
        assert window.app.screen.query_one("#field-title", Input).value == "TS"
        assert window.app.screen.query_one("#system", TextArea).text == "R"
