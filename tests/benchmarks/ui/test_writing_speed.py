"""Tokens a second of the real model in the active tab, compared with the runner. Run alone."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.engine import (
    ChatMessage,
    EngineHost,
    EngineSession,
    Finished,
    ModelSpec,
    Sampling,
    TextDelta,
)
from koel_tui.protocol import ChatState, Message
from koel_tui.settings import load_settings
from koel_tui.storage import JsonFileStorage
from tests.benchmarks.report import line, median
from tests.benchmarks.ui.outside import ENTER, KOEL, Outside

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]
MESSAGES = 100
OUTPUT_TOKENS = 192
QUESTIONS = [
    f"Write a very long story about {whom} and the sea, in many chapters."
    for whom in (
        "a keeper",
        "a sailor",
        "a child",
        "a captain",
        "a smuggler",
        "a painter",
        "a fisher",
        "a doctor",
        "a poet",
    )
]


def short_history() -> ChatState:
    """Return a thread whose messages all fit into the context of the model."""
    said = ("What is the sea like today?", "It is calm, and the wind comes from the west.")
    return ChatState(
        messages=tuple(
            Message(f"m{n}", ("user", "assistant")[n % 2], said[n % 2]) for n in range(MESSAGES)
        )
    )


def plain(state: ChatState) -> list[ChatMessage]:
    """Return a thread as messages for the engine."""
    return [
        ChatMessage("user" if each.role == "user" else "assistant", str(each.content))
        for each in state.messages
    ]


async def ask_alone(
    session: EngineSession, before: Sequence[ChatMessage], text: str
) -> tuple[list[ChatMessage], float]:
    """Return the conversation with the answer, and the decode speed in tokens per second."""
    messages = [*before, ChatMessage("user", text)]
    answer, rate = "", 0.0
    async for delta in session.stream(messages):
        if isinstance(delta, TextDelta):
            answer += delta.text
        elif isinstance(delta, Finished):
            rate = delta.metrics.decode_tokens_per_s
    return [*messages, ChatMessage("assistant", answer)], rate


def ask_window(program: Outside, text: str) -> float:
    """Let the window's model answer; return the tokens per second shown at the end."""
    program.send(text + ENTER)
    program.see("writing")
    return float(program.find(r"(\d+) tok/s · saved")[1])


async def test_the_window_compared_with_the_runner_alone(
    starter_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KOEL_TEMPERATURE", "0")
    monkeypatch.setenv("KOEL_MAX_OUTPUT_TOKENS", str(OUTPUT_TOKENS))
    monkeypatch.setenv("KOEL_MODEL", str(starter_path))
    history = short_history()
    paths.private_directory(paths.data_dir())
    await JsonFileStorage(paths.private_directory(paths.threads_dir())).save("long", history)
    settings = load_settings()
    engine = await EngineHost.load(  # with the arguments of the window
        ModelSpec(starter_path), max_sessions=settings.max_sessions, parallel=settings.parallel
    )
    session = await engine.open_session(
        sampling=Sampling(temperature=0), max_output_tokens=OUTPUT_TOKENS
    )
    alone, ours = [], []
    messages = plain(history)
    with Outside([KOEL, "long"]) as program:
        program.see("· saved")
        for question in QUESTIONS:
            messages, rate = await ask_alone(session, messages, question)
            alone.append(rate)
            ours.append(await asyncio.to_thread(ask_window, program, question))
    await engine.close()
    print()
    print(
        line(
            f"tokens/s in the tab in front, {MESSAGES} messages before",
            median(ours),
            median(alone),
            "tokens/s",
            "runner alone",
            limit="ratio 0.92",
        )
    )
    pairs = list(zip(ours, alone, strict=True))
    print("each question:", [f"{a:.0f}/{b:.0f}" for a, b in pairs])
    print(f"median of their ratios: {median([a / b for a, b in pairs]):.3f}")
