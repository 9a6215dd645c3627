"""Shared model loads: one load per file, for every name and path of it that threads request."""

import asyncio
from pathlib import Path

import pytest
from ag_ui.core import RunAgentInput, RunErrorEvent, RunFinishedEvent, UserMessage

from koel_tui.cli.wiring import create_model_router
from koel_tui.engine import EngineHost
from koel_tui.settings import Settings


@pytest.mark.parametrize("own", [True, False])
async def test_b10_name_path_link_and_relative_path_share_one_load(
    own: bool, tiny_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    model = folder / "pirate.gguf"
    model.write_bytes(tiny_path.read_bytes())
    (tmp_path / "link.gguf").symlink_to(model)
    monkeypatch.chdir(tmp_path)
    loads: list[Path] = []
    load = EngineHost.load.__func__  # type: ignore[attr-defined]  # of a class method

    async def counted(cls: type[EngineHost], /, spec: object, **keywords: object) -> EngineHost:
        loads.append(spec.path)  # type: ignore[attr-defined]  # a ModelSpec
        engine: EngineHost = await load(cls, spec, **keywords)
        return engine

    monkeypatch.setattr(EngineHost, "load", classmethod(counted))
    settings = Settings(
        model=model if own else None, model_folders=[folder], context_tokens=256,
        max_output_tokens=1, chat_template="chatml",
    )  # fmt: skip
    router = create_model_router(settings, None)
    names = ["pirate", str(model), "models/pirate.gguf", "./link.gguf", "PIRATE.gguf"]
    async with asyncio.timeout(120):
        for number, name in enumerate(names):
            run = RunAgentInput(
                thread_id=f"t{number}", run_id="r", state={}, tools=[], context=[],
                forwarded_props={}, messages=[UserMessage(id="u", role="user", content="a")],
            )  # fmt: skip
            *_, last = [event async for event in router.agent(name).run(run)]
            assert isinstance(last, RunFinishedEvent), last
            await router.release(f"t{number}")
        *_, last = [event async for event in router.agent("parrot").run(run)]
        assert isinstance(last, RunErrorEvent) and "parrot" in last.message
        await router.close()
    assert len(loads) == 1
