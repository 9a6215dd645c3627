"""Limits of `ModelSpec` and `Engine`: extreme values give an answer or an error, not a crash."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from koel_tui.engine import ChatMessage, EngineHost, ModelLoadError, ModelSpec, Sampling
from tests.engine.tiny_models import write_recurrent_model

QUESTION = [ChatMessage("user", "abc")]


@pytest.mark.parametrize(
    ("values", "parallel"),
    [
        ({"batch_tokens": 1, "slots": 4}, 4),
        ({"batch_tokens": 2, "slots": 4}, 1),
        ({"batch_tokens": 2}, 1),
        ({"batch_tokens": 1, "kv_type": "q8_0"}, 3),
        ({"batch_tokens": 65_536}, 1),
        ({"context_tokens": 1}, 1),
        ({"slots": 256, "context_tokens": 256}, 3),
        ({"gpu_layers": -100}, 1),
        ({"gpu_layers": 2**31 - 1}, 1),
    ],
    ids=repr,
)
async def test_b19_a_value_at_its_limit_is_answered(
    tiny_path: Path, values: dict[str, Any], parallel: int
) -> None:
    spec = ModelSpec(tiny_path, **{"context_tokens": 512, "threads": 1, **values})
    engine = await EngineHost.load(spec, parallel=parallel)
    link: Any = engine._worker._transport
    pid = link.pid

    async def answer() -> str:
        session = await engine.open_session(sampling=Sampling(temperature=0), max_output_tokens=6)
        session.add(QUESTION[0])
        return await session.respond()

    async with asyncio.timeout(60):
        answers = await asyncio.gather(*(answer() for _ in range(parallel)))
    assert all(answers)
    assert link.pid == pid
    await engine.close()


@pytest.mark.parametrize("context_tokens", [2**31, 2**32 + 512, 2**40])
async def test_b19_a_window_larger_than_the_limit_of_llama_cpp_is_refused(
    tmp_path: Path, context_tokens: int
) -> None:
    path = write_recurrent_model(tmp_path / "recurrent.gguf")  # its context takes no memory
    with pytest.raises(ModelLoadError, match=r"larger than the 2,147,483,647.*smaller context"):
        await EngineHost.load(ModelSpec(path, context_tokens=context_tokens, slots=1, threads=1))


async def test_b36_the_card_reports_a_window_beyond_the_training(tiny_path: Path) -> None:
    for context_tokens, is_reported in ((4096, False), (4097, True), (8192, True), (None, False)):
        spec = ModelSpec(tiny_path, context_tokens=context_tokens, slots=2, threads=1)
        engine = await EngineHost.load(spec)
        assert engine.card is not None and engine.card.trained_tokens == 4096
        notice = engine.card.notice
        assert bool(notice) == is_reported
        if is_reported:
            assert "larger than the 4,096 that tiny was trained for" in notice
            assert "--context-tokens 4096" in notice
        await engine.close()
