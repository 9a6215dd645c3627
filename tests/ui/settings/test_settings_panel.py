"""Tests of the program settings: list, search, changes, refusal, and when they take effect."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual import events
from textual.widgets import Static

from koel_tui import paths
from koel_tui.conversation.backend import Backend
from koel_tui.session import KoelClient
from koel_tui.setting_sources import Origin, setting_origin
from koel_tui.settings import Settings, load_settings
from koel_tui.storage import MemoryStorage
from koel_tui.ui.settings.setting import FLAG, Setting, format_value, list_settings
from koel_tui.ui.settings.settings_panel import SettingsPanel, ValuePanel
from koel_tui.ui.settings.settings_store import SettingsStore
from tests.cli.test_start import write_config
from tests.hostile import EVERYTHING
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import Window, opened

CONFIG = '# mine\nseed = 3 # three\n[keys]\n"tab.new" = "f8"\n'


def listed(**flags: Any) -> dict[str, Setting]:
    origins = {name: setting_origin(name) for name in Settings.model_fields}
    found = list_settings(load_settings(**flags), origins, flags)
    return {setting.name: setting for setting in found}


def test_every_setting_is_listed_with_its_value_and_origin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_config(CONFIG)
    monkeypatch.setenv("KOEL_NOTIFY", "0")
    settings = listed(max_sessions=4)
    assert list(settings) == list(Settings.model_fields)
    assert all(setting.description for setting in settings.values())
    assert settings["seed"].detail == f"3 · {Origin.CONFIG}"
    assert settings["max_sessions"].detail == "4 · flag"
    assert settings["notify"].detail == f"no · {Origin.ENVIRONMENT}"
    assert settings["model"].detail == f"not set · {Origin.DEFAULT}"
    assert settings["keys"].detail == f"tab.new · {Origin.CONFIG}"
    locked = {name for name, setting in settings.items() if setting.locked}
    assert locked == {"keys", "notify"}
    assert "KOEL_NOTIFY" in settings["notify"].locked


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("temperature", "0,5", 0.5), ("temperature", "5", 5.0), ("seed", "4294967295", 2**32 - 1),
        ("repeat_last_n", "-1", -1), ("mirostat", "2", 2), ("max_sessions", "256", 256),
        ("context_tokens", "256", 256), ("gpu_layers", "-1", -1),
        ("titles", "No", False), ("speculation", "no", False), ("plain", "true", True),
        ("system", " Be kind. ", "Be kind."),
        ("model", "~/a.gguf", Path("~/a.gguf")), ("theme", "nord", "nord"),
        ("model_folders", f"/a{os.pathsep}/b", (Path("/a"), Path("/b"))),
        ("line_length", "80", 80), ("line_length", "Off", 0), ("line_length", "0", 0),
        ("line_length", "20", 20), ("line_length", "1000", 1000),
        ("chat_template", "gemma", "gemma"), ("seed", " ", None), ("temperature", "", None),
    ],
)  # fmt: skip
def test_the_settings_panel_parses_values_as_the_program_does(
    name: str, text: str, value: object
) -> None:
    assert listed()[name].parse(text) == value
    if value is not None:
        assert getattr(load_settings(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("name", "text", "could"),
    [
        ("temperature", "hot", "a number from 0 to 100"), ("temperature", "nan", "from 0"),
        ("temperature", "-0.1", "from 0"), ("seed", "4294967296", "to 4294967295"),
        ("seed", "1.5", "a whole number"), ("max_sessions", "0", "from 1 to 256"),
        ("context_tokens", "255", "from 256 up"), ("titles", "perhaps", "yes or no"),
        ("line_length", "19", "off, or a whole number from 20 to 1000"),
        ("line_length", "1001", "off, or"), ("line_length", "on", "off, or"),
        ("threads", "٣", "a whole number"), ("chat_template", "x", "one of own, chatml, gemma"),
    ],
)  # fmt: skip
def test_an_invalid_setting_is_refused_with_the_allowed_values(
    name: str, text: str, could: str
) -> None:
    with pytest.raises(ValueError, match=f"{name} must be .*{could}"):
        listed()[name].parse(text)


def test_a_multi_line_setting_is_left_to_an_editor() -> None:
    write_config(f"system = {format_value('a')!r}\n")
    assert not listed()["system"].locked
    paths.config_file().write_text('system = "a\\nb"\n')
    assert "config edit" in listed()["system"].locked


@asynccontextmanager
async def settings(
    size: tuple[int, int] = (80, 24), connect: Callable[[], Backend] | None = None
) -> AsyncIterator[Window]:
    async with opened(size=size, connect=connect) as window:
        await window.press("f9")
        await window.sees("max_sessions")
        yield window


async def change(window: Window, name: str, text: str) -> None:
    """Find a setting and replace the text of its field, which is selected at first."""
    await window.type(name)
    await window.until(lambda: listing(window).count(" · ") == 1, f"{name} alone")
    await window.press("enter")
    await window.until(lambda: isinstance(window.app.screen, ValuePanel), "the field")
    if text:
        await window.type(text)
    else:
        await window.press("delete")
    await window.press("enter")


def listing(window: Window) -> str:
    return "\n".join(line for line in window.lines[:-2] if "esc closes" not in line)


def config() -> str:
    return paths.config_file().read_text()


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_a_setting_is_found_changed_saved_and_applied(size: tuple[int, int]) -> None:
    write_config(CONFIG)
    async with settings(size) as window:
        await change(window, "theme", "nord")
        await window.sees("theme is nord now.")
        await window.sees("nord · config.toml")
        assert window.app.theme == "nord"
        assert config() == CONFIG.replace("three\n", 'three\ntheme = "nord"\n')
        await window.press("enter")
        await window.until(lambda: isinstance(window.app.screen, ValuePanel))
        await window.press("delete", "enter")
        await window.sees("theme is textual-dark now.")
        assert config() == CONFIG
        assert window.app.theme == "textual-dark"
        await window.press("f9")
        await window.until(lambda: len(window.app.screen_stack) == 1)


@pytest.mark.parametrize("size", [(60, 15), (80, 24)])
async def test_every_setting_is_reached_and_explained(size: tuple[int, int]) -> None:
    async with settings(size) as window:
        for name, field in Settings.model_fields.items():
            await window.sees(f"│ {name} ")
            await window.sees((field.description or "")[:40])
            await window.press("down")


async def test_the_titles_setting_stops_title_generation_immediately() -> None:
    storage, agent = MemoryStorage(), ScriptedAgent()
    backend = Backend(KoelClient(agent, storage=storage), storage, agent, titles=True)
    async with settings(connect=lambda: backend) as window:
        await window.until(lambda: window.app._runtime.backend is backend)
        await change(window, "titles", "no")
        await window.sees("titles is no now.")
        assert window.app._runtime.backend is not None
        assert not window.app._runtime.backend.titles


async def test_a_flag_overrides_a_saved_setting_until_the_program_ends() -> None:
    notified: list[bool] = []
    program = SettingsStore({"notify": True, "seed": None}, {"notify": notified.append}, ())
    notify = next(setting for setting in await program.all() if setting.name == "notify")
    assert notify.origin == FLAG
    assert "until the program ends" in await program.change(notify, "no")
    assert config() == "notify = false\n"
    assert notified == []
    assert next(each for each in await program.all() if each.name == "notify").value is True


async def test_a_setting_without_immediate_effect_reports_when_it_applies() -> None:
    async with settings() as window:
        await change(window, "temperature 0.8", "0.5")
        await window.sees("temperature is 0.5 from the next start on.")
    assert config() == "temperature = 0.5\n"


async def test_the_notify_setting_turns_the_bell_off_immediately(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written: list[str] = []
    monkeypatch.setattr(
        "koel_tui.ui.internals.write_to_terminal", lambda app, text: written.append(text)
    )
    async with settings() as window:
        await change(window, "notify", "no")
        await window.sees("notify is no now.")
        await window.press("escape")
        window.app.post_message(events.AppBlur())
        turn = await window.ask("Hello")
        turn.finish()
        await window.until(lambda: "saved" in window.status)
    assert not any("is done" in text for text in written)


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("temperature 0.8", "-9", "temperature must be a number from 0 to 1000000, or empty."),
        ("theme", "[red]none", "There is no theme '[red]none'"),
        ("model_folders", "/nowhere/at/all", "There is no directory /nowhere/at/all."),
        ("GGUF file", "/nowhere.gguf", "nowhere.gguf"),
    ],
)
async def test_a_bad_value_is_refused_at_its_field(name: str, text: str, why: str) -> None:
    write_config(CONFIG)
    async with settings() as window:
        await change(window, name, text)
        await window.sees(why)
        assert isinstance(window.app.screen, ValuePanel)
        await window.press("escape")
        await window.until(lambda: isinstance(window.app.screen, SettingsPanel))
    assert config() == CONFIG


async def test_a_setting_that_cannot_be_written_stays_in_the_field() -> None:
    paths.config_file().parent.parent.mkdir()
    paths.config_file().parent.write_text("in the way")
    async with settings() as window:
        await change(window, "seed", "5")
        problem = window.app.screen.query_one("#problem", Static)
        # The path may have any length, so the lines on the screen may break anywhere.
        await window.until(lambda: "config.toml cannot be written" in str(problem.content))
        assert isinstance(window.app.screen, ValuePanel)


async def test_a_setting_of_the_environment_cannot_be_changed_in_the_panel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("KOEL_SYSTEM", EVERYTHING.replace("\0", ""))
    async with settings() as window:
        await window.type("system")
        await window.sees("The variable KOEL_SYSTEM sets it. Unset the variable to change it here.")
        await window.press("enter")
        await window.sees("system cannot be changed here.")
        assert isinstance(window.app.screen, SettingsPanel)
    assert not paths.config_file().exists()


async def test_a_file_that_cannot_be_read_is_reported() -> None:
    async with opened() as window:
        write_config("theme =\n")
        await window.press("f9")
        await window.sees("config.toml")
        await window.until(lambda: len(window.app.screen_stack) == 1)
