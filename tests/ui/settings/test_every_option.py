"""Tests of every option in the panel of thread settings, by keyboard, with the real model."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import psutil
import pytest
from textual.widgets import Input

from koel_tui.cli.wiring import create_backend
from koel_tui.conversation.thread_settings_form import FIELDS
from koel_tui.sampling_options import COMMON_OPTIONS
from koel_tui.settings import load_settings
from koel_tui.ui.settings.thread_settings_panel import ThreadPanel
from tests.engine.processes import runners
from tests.ui.window import Window, opened

OPTIONS: Mapping[str, tuple[str, Any]] = {
    "temperature": ("0,2", 0.2), "top_k": ("1", 1), "top_p": ("0.5", 0.5), "min_p": ("0", 0.0),
    "repeat_penalty": ("1.3", 1.3), "seed": ("4294967295", 4294967295),
    "typical_p": ("0.5", 0.5), "top_n_sigma": ("1", 1.0), "xtc_probability": ("1", 1.0),
    "xtc_threshold": ("0", 0.0), "repeat_last_n": ("-1", -1), "frequency_penalty": ("-10", -10.0),
    "presence_penalty": ("10", 10.0), "dry_multiplier": ("0.8", 0.8), "dry_base": ("1", 1.0),
    "dry_allowed_length": ("0", 0), "dry_penalty_last_n": ("0", 0), "dynatemp_range": ("2", 2.0),
    "dynatemp_exponent": ("0.5", 0.5), "mirostat": ("2", 2), "mirostat_tau": ("0", 0.0),
    "mirostat_eta": ("1000000", 1e6), "logit_bias": ("5:-100, 17:2.5", {"5": -100, "17": 2.5}),
    "stop": ("\\nUser:, \\,", ["\nUser:", ","]), "thinking": ("16", 16),
    "max_output_tokens": ("1", 1), "chat_template": ("gemma", "gemma"),
}  # fmt: skip
"""By option: the typed text, and the stored value."""
_TO_FOLD = 1 + len(COMMON_OPTIONS)
"""Presses of the down key from the name to "All samplers"."""


@asynccontextmanager
async def real_window() -> AsyncIterator[Window]:
    """Open the real program with the starter model, which answers with two tokens."""
    settings = load_settings(
        max_output_tokens=2, max_sessions=2, threads=1, context_tokens=512, titles=False
    )
    async with opened(connect=lambda: create_backend(settings)) as window:
        await window.connected()
        yield window


async def fill(window: Window, texts: Mapping[str, str]) -> None:
    """Open the panel, fill its fields by keyboard, and apply the settings."""
    await window.press("f2")
    await window.until(lambda: isinstance(window.app.screen, ThreadPanel))
    await window.sees("This thread")
    await window.press(*["down"] * _TO_FOLD, "right")
    place = _TO_FOLD
    keys = [field.key for field in FIELDS]
    for key in sorted(texts, key=keys.index):
        wanted = keys.index(key) + (keys.index(key) >= _TO_FOLD)
        await window.press(*["down" if wanted > place else "up"] * abs(wanted - place))
        place = wanted
        await window.until(lambda key=key: focused(window) == f"field-{key}", key)  # type: ignore[misc]
        await window.press("end", "ctrl+u")
        await window.type(texts[key])
    await window.press("enter")
    await window.until(lambda: len(window.app.screen_stack) == 1, "the panel is left")


def focused(window: Window) -> str:
    return getattr(window.app.focused, "id", None) or ""


async def answer(window: Window, pid: int | None) -> int:
    """Ask, wait for the end of the answer, and check and return the pid of the runner."""
    conversation = window.app._workspace.active
    before = len(conversation.messages)
    await window.type("Hi")
    await window.press("enter")
    await window.until(lambda: len(conversation.messages) >= before + 2, "an answer")
    await window.until(lambda: not conversation.is_busy and "saved" in window.status, "the end")
    assert not conversation.problem, conversation.problem
    assert "✗" not in window.screen, window.screen
    (runner,) = runners()
    assert pid in (None, runner.pid) and runner.status() != psutil.STATUS_ZOMBIE
    return runner.pid


async def stored(window: Window) -> dict[str, Any]:
    """Return the saved options of the only thread."""
    kept = window.app._runtime.backend
    assert kept is not None
    (thread,) = await kept.storage.list_threads()
    meta = await kept.storage.meta(thread)
    options = {**meta.get("sampling", {}), **meta}
    return {key: options[key] for key in OPTIONS if key in options}


async def shown(window: Window) -> dict[str, str]:
    """Open the panel again, return the values that it shows, and close it."""
    await window.press("f2")
    await window.until(lambda: isinstance(window.app.screen, ThreadPanel))
    fields = window.app.screen.query(Input)
    texts = {(field.id or "").removeprefix("field-"): field.value for field in fields}
    await window.press("escape")
    await window.until(lambda: len(window.app.screen_stack) == 1)
    return {key: texts[key] for key in OPTIONS if texts[key]}


async def through_panel(window: Window, key: str, pid: int | None) -> int:
    """Set one option, ask, check the stored and shown values, and reset the option."""
    text, value = OPTIONS[key]
    await fill(window, {key: text})
    pid = await answer(window, pid)
    assert await stored(window) == {key: value}
    assert await shown(window) == {key: text.replace("0,2", "0.2")}
    await fill(window, {key: ""})
    pid = await answer(window, pid)
    assert await stored(window) == {}
    return pid


def test_the_table_has_every_option_of_the_panel() -> None:
    others = {"title", "model", "lora"}
    assert [*OPTIONS] == [field.key for field in FIELDS if field.key not in others]


@pytest.mark.timeout(120)
async def test_all_options_at_once_are_stored_used_shown_and_reset() -> None:
    async with real_window() as window:
        pid = await answer(window, None)
        texts = {key: text for key, (text, _) in OPTIONS.items()}
        await fill(window, texts)
        await answer(window, pid)
        assert await stored(window) == {key: value for key, (_, value) in OPTIONS.items()}
        assert await shown(window) == {**texts, "temperature": "0.2"}
        await fill(window, dict.fromkeys(texts, ""))
        await answer(window, pid)
        assert await stored(window) == {}
        assert await shown(window) == {}


@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_each_option_alone_is_stored_used_shown_and_reset() -> None:
    async with real_window() as window:
        pid: int | None = None
        for key in OPTIONS:
            pid = await through_panel(window, key, pid)
