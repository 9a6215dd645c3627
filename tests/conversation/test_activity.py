"""The texts for the phases of a run: below the messages, in the status line and in the tab."""

from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from koel_tui.agents import LocalAgent
from koel_tui.chat_templates import BUILT_IN_TEMPLATES
from koel_tui.conversation.activity import Phase
from koel_tui.conversation.backend import Backend
from koel_tui.engine import Engine, ModelSpec, Sampling
from koel_tui.protocol import TurnSettings
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from tests.engine.tiny_models import write_sliding_model
from tests.ui.window import opened

END_OF_ANSWER = 2
"""The token with which the tiny model ends an answer."""
ENDLESS = TurnSettings(sampling=Sampling(temperature=0, logit_bias={END_OF_ANSWER: -100}))
ROWS = {
    "loading": "⌛ loading model 40%…",
    "queued": "⌛ queued: 3 ahead…",
    "reading": "⌛ reading 40%…",
    "thinking": "⌛ thinking…",
    "writing": "⌛ writing…",
}

FIGURES: dict[str, dict[str, float]] = {
    "loading": {"fraction": 0.4}, "queued": {"position": 3}, "reading": {"fraction": 0.4},
}  # fmt: skip


async def test_b30_the_window_says_that_the_model_thinks_while_its_thinking_is_hidden(
    tmp_path: Path,
) -> None:
    template = BUILT_IN_TEMPLATES["chatml"] + "{{ '<think>\\n' }}"
    spec = ModelSpec(write_sliding_model(tmp_path / "tiny.gguf", template), context_tokens=4096)

    async def load(progress: Callable[[float], None]) -> Engine:
        return await Engine.load(spec)

    agent, storage = LocalAgent(load, ENDLESS), MemoryStorage()
    client = KoelClient(agent, storage=storage)
    async with opened(connect=lambda: Backend(client, storage, agent)) as window:
        await window.connected()
        await window.type("Why?")
        await window.press("enter")
        await window.reads("⌛ thinking…")
        await window.has_tabs("1 Why? thinking")
        assert "……" not in window.screen
        await window.press("escape")
        await window.reads("answer was stopped before it began")


@pytest.mark.parametrize("phase", sorted(set(get_args(Phase)) - {"idle", "waiting"}))
async def test_the_activity_row_ends_with_one_ellipsis(phase: str) -> None:
    async with opened() as window:
        turn = await window.ask("Why?")
        await window.reads("⌛ waiting…")
        turn.report(phase=phase, **FIGURES.get(phase, {}))
        await window.reads(ROWS[phase])
        assert "……" not in window.screen
        turn.finish()
