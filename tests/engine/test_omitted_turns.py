"""Turns that cannot fit are not sent to the worker; the prompt stays the same."""

from pathlib import Path

import pytest

from koel_tui.engine import (
    ChatMessage,
    EngineHost,
    Finished,
    ModelSpec,
    Sampling,
    TextDelta,
    TurnSettings,
    history,
)

TURNS = 150
CONTEXT = 256
SETTINGS = TurnSettings(system="Be brief.", sampling=Sampling(temperature=0), max_output_tokens=4)


def conversation(turns: int) -> list[ChatMessage]:
    """Return a conversation with turns of different lengths that ends with a question."""
    messages: list[ChatMessage] = []
    for number in range(turns):
        answer = f"Answer {number} is about ü and boats. " * (1 + number * 7 % 4)
        messages += [ChatMessage("user", f"Question {number}?"), ChatMessage("assistant", answer)]
    return [*messages, ChatMessage("user", "And now?")]


async def answers(path: Path) -> list[tuple[str, int, int, int]]:
    """Return the answers to a growing conversation: text, omitted turns, tokens, reused tokens."""
    engine = await EngineHost.load(ModelSpec(path, context_tokens=CONTEXT, threads=1))
    session = await engine.open_session(settings=SETTINGS)
    seen = []
    for turns in range(TURNS, TURNS + 3):
        deltas = [delta async for delta in session.stream(conversation(turns))]
        end = deltas[-1]
        assert isinstance(end, Finished)
        text = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
        metrics = end.metrics
        seen.append((text, end.trimmed_turns, metrics.prompt_tokens, metrics.reused_tokens))
    await engine.close()
    return seen


async def test_the_answers_are_those_of_the_whole_conversation(
    starter_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = [len(history.History(conversation(TURNS)).recent(CONTEXT).messages)]
    sent = await answers(starter_path)
    monkeypatch.setattr(history, "MAX_CHARACTERS_PER_TOKEN", 1_000_000)
    sizes.append(len(history.History(conversation(TURNS)).recent(CONTEXT).messages))
    assert sizes[0] < sizes[1] == 2 * TURNS + 1, "the oldest turns are not sent"
    assert sent == await answers(starter_path)
    assert all(turns > TURNS - 20 for _, turns, _, _ in sent)
    assert any(reused > 0 for _, _, _, reused in sent)
