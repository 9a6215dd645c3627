"""Each keyword of both methods that open a session reaches the native side."""

from pathlib import Path
from typing import Any

import pytest

from koel_tui.engine import Sampling, TurnSettings, UnsupportedError
from koel_tui.engine.wire_messages import OpenSession
from tests.engine.scripted import scripted_engine

TOOL: dict[str, Any] = {"type": "function", "function": {"name": "look"}}
SCHEMA = {"type": "object"}


@pytest.mark.parametrize("legacy", [False, True])
async def test_every_keyword_reaches_the_native_side(legacy: bool, tmp_path: Path) -> None:
    (tmp_path / "adapter.gguf").touch()
    engine, link = await scripted_engine()
    if legacy:
        session = await engine.create_session(
            "a name", settings=TurnSettings(system="Be brief.", prefill="lost"),
            sampling=Sampling(top_k=3), lora=tmp_path / "adapter.gguf", kv=tmp_path / "a.kv",
            thinking=True, tools=[TOOL], tool_choice="none", schema=SCHEMA, stop=["END"],
            chat_template="gemma", max_output_tokens=9, prefill="Well",
        )  # fmt: skip
    else:
        session = await engine.open_session(
            "a name", settings=TurnSettings(system="Be brief.", prefill="lost"),
            sampling=Sampling(top_k=3), lora=tmp_path / "adapter.gguf", kv=tmp_path / "a.kv",
            thinking=True, tools=[TOOL], tool_choice="none", schema=SCHEMA, stop=["END"],
            chat_template="gemma", max_output_tokens=9, prefill="Well",
        )  # fmt: skip
    assert len([each for each in link.commands if isinstance(each, OpenSession)]) == 1
    options = session.options
    assert (options.name, options.lora, options.kv) == (
        "a name", tmp_path / "adapter.gguf", tmp_path / "a.kv",
    )  # fmt: skip
    assert options.settings == TurnSettings(
        system="Be brief.", sampling=Sampling(top_k=3), thinking=True, tools=(TOOL,),
        tool_choice="none", schema=SCHEMA, stop=("END",), chat_template="gemma",
        max_output_tokens=9, prefill="Well",
    )  # fmt: skip
    await engine.close()


async def test_sound_is_refused() -> None:
    engine, link = await scripted_engine()
    with pytest.raises(UnsupportedError, match="audio"):
        await engine.open_session(audio=True)
    with pytest.raises(UnsupportedError, match="audio"):
        await engine.create_session(audio=True)
    assert not [each for each in link.commands if isinstance(each, OpenSession)]
    await engine.close()
