"""Helpers for the tests of `ask`: a scripted agent, and the parsed JSON object."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.agents import ModelInfo
from tests.ui.scripted import Turn

KEYS = {
    "thread", "model", "backend", "text", "finish_reason", "usage", "trimmed_turns", "tool_calls",
    "error",
}  # fmt: skip


def answer_of(out: str) -> dict[str, Any]:
    """Return the object that `ask --json` printed, after a check of its keys."""
    (line,) = out.splitlines()
    answer: dict[str, Any] = json.loads(line)
    assert set(answer) - {"thinking"} == KEYS
    assert set(answer["usage"]) == {"prompt_tokens", "reused_tokens", "output_tokens"}
    assert answer["backend"] == "local"
    assert answer["finish_reason"] in {"end", "length", "stopped", "tool_calls", "error"}
    return answer


class Playing:
    """An agent whose runs are scripted by `play`."""

    def __init__(self, play: Callable[[Turn], object]) -> None:
        self.play = play

    def agent(self, **_: Any) -> "Playing":
        return self

    async def load(self) -> ModelInfo:
        return ModelInfo("Scripted-1B", 8192)

    async def run(self, input: RunAgentInput, *_: Any) -> AsyncIterator[BaseEvent]:  # noqa: A002 - as in Agent
        turn = Turn(input)
        self.play(turn)
        async for event in turn.events():
            yield event

    async def release(self, thread_id: str) -> None:
        pass

    async def close(self) -> None:
        pass
