"""Repeat, frequency and presence penalties with the starter model in the runner process."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from koel_tui.engine import ChatMessage, EngineHost, ModelSpec, Sampling
from tests.engine.processes import runners

ECHO = ChatMessage("user", "Repeat this word, and nothing else: harbour")


@pytest_asyncio.fixture
async def host(starter_path: Path) -> AsyncIterator[EngineHost]:
    spec = ModelSpec(starter_path, context_tokens=512, slots=2, threads=1)
    engine = await EngineHost.load(spec, max_sessions=None)
    pid = [each.pid for each in runners()]
    yield engine
    assert [each.pid for each in runners()] == pid, "the runner died"
    await engine.close()


async def said(host: EngineHost, schema: dict[str, Any] | None = None, **sampling: Any) -> str:
    session = await host.open_session(
        sampling=Sampling(temperature=0).with_values(sampling),
        max_output_tokens=8 if schema is None else 64,
    )
    stream = session.stream([ECHO], schema=schema)
    text = "".join([delta.text async for delta in stream if hasattr(delta, "text")])
    await session.close()
    return text


@pytest.mark.parametrize(
    "sampling",
    [
        {"repeat_penalty": 1.1},
        {"repeat_penalty": 10.0, "temperature": 0.8},
        {"repeat_penalty": 0.001},
        {"frequency_penalty": 0.5},
        {"frequency_penalty": -10.0},
        {"presence_penalty": 0.5},
        {"presence_penalty": 10.0, "repeat_last_n": 0},
        {"presence_penalty": 10.0, "repeat_last_n": 1},
        {"presence_penalty": 10.0, "repeat_last_n": 2**31 - 1},
    ],
)
async def test_b1_a_penalty_gives_an_answer(host: EngineHost, sampling: dict[str, Any]) -> None:
    assert await said(host, **sampling)


@pytest.mark.parametrize("last_n", [64, -1, 2**31 - 1])
async def test_b1_a_penalty_counts_the_tokens_of_the_prompt(host: EngineHost, last_n: int) -> None:
    assert "harbour" in (await said(host)).lower()
    assert "harbour" not in (await said(host, presence_penalty=10.0, repeat_last_n=last_n)).lower()


async def test_b1_a_penalty_over_few_tokens_does_not_see_the_whole_prompt(host: EngineHost) -> None:
    assert await said(host) == await said(host, presence_penalty=0.001, repeat_last_n=1)


async def test_b1_a_grammar_applies_together_with_a_penalty(host: EngineHost) -> None:
    schema = {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 2}
    answer = json.loads(await said(host, schema, presence_penalty=10.0, repeat_last_n=-1))
    assert [type(each) for each in answer] == [bool, bool]
