"""Values of `ModelSpec` that are passed to llama.cpp, with the starter model."""

from pathlib import Path
from typing import Any

import llama_cpp
import pytest

from koel_tui.engine import ChatMessage, Engine, ModelSpec


async def test_the_type_of_the_context_and_the_layers_on_a_gpu_reach_llama_cpp(
    starter_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A context in q8_0 takes 17/32 of the bytes; without a GPU, the layers have no effect."""
    load, layers = llama_cpp.llama_model_load_from_file, []

    def spied(path: bytes, params: Any) -> Any:
        layers.append(params.n_gpu_layers)
        return load(path, params)

    monkeypatch.setattr(llama_cpp, "llama_model_load_from_file", spied)
    bytes_of = {}
    for spec in (
        ModelSpec(starter_path, context_tokens=512, slots=2, threads=1, gpu_layers=0),
        ModelSpec(starter_path, context_tokens=512, slots=2, threads=1, kv_type="q8_0"),
    ):
        engine = await Engine.load(spec)
        session = await engine.open_session(max_output_tokens=3)
        session.add(ChatMessage("user", "Hello"))
        assert await session.respond()
        (used,) = engine.memory.sessions
        bytes_of[spec.kv_type] = engine.memory.context_bytes, used.kv_bytes
        await engine.close()
    assert layers == [0, -1]
    for wide, narrow in zip(bytes_of["f16"], bytes_of["q8_0"], strict=True):
        assert narrow == pytest.approx(wide * 17 / 32, rel=0.05)
