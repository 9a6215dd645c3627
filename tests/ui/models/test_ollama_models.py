"""Tests of Ollama models that are chosen in the window, with the real engine."""

from pathlib import Path

import pytest

from koel_tui.cli.wiring import create_backend
from koel_tui.settings import load_settings
from koel_tui.ui.models.model_panel import ModelPanel
from tests.engine.tiny_models import write_sliding_model
from tests.models.ollama_store import described_gguf, put_model
from tests.ui.models.first_run import left
from tests.ui.window import Window, opened

ADAPTER = described_gguf(general__architecture="gemma3", general__type="adapter")


async def choose(window: Window, name: str) -> None:
    await window.press("alt+shift+m")
    await window.until(lambda: isinstance(window.app.screen, ModelPanel))
    await window.sees(name)
    await window.type(name)
    await window.until(lambda: "Qwen3" not in window.screen)
    await window.press("enter")


@pytest.mark.slow
async def test_report_36_a_model_made_for_ollama_is_named_and_the_one_before_stays(
    private_home: Path, tmp_path: Path
) -> None:
    store = private_home / ".ollama" / "models"
    model = write_sliding_model(tmp_path / "m.gguf").read_bytes()
    put_model(store, "tuned", model=model, template=b"{{ .Prompt }}", adapter=ADAPTER)
    vision = write_sliding_model(tmp_path / "v.gguf", vision=True).read_bytes()
    put_model(store, "gemma4:e4b", model=vision, template=b"{{ .Prompt }}")
    settings = load_settings(max_output_tokens=2, threads=1, context_tokens=512, titles=False)
    async with opened(connect=lambda: create_backend(settings), size=(120, 30)) as window:
        await window.connected()
        await choose(window, "tuned")
        await window.tells("tuned:latest answers from now on, and at the next start.")
        await window.tells("Ollama's template of this model is not used")
        await window.tells("Ollama's adapter of tuned:latest is not used")
        await window.until(lambda: "tuned:latest" in window.status)
        await choose(window, "gemma4")
        await window.sees("made for Ollama as gemma4:e4b")
        assert isinstance(window.app.screen, ModelPanel)
        await left(window)
        await window.until(lambda: "tuned:latest" in window.status)
        await window.type("Hello")
        await window.press("enter")
        await window.until(lambda: "ctx" in window.status)
