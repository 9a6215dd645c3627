"""Loading on a scripted native side: callers that share a load, and the state after a failure."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from koel_tui.engine import Engine, EngineCrashedError, ModelLoadError, ModelSpec
from koel_tui.engine.runner.transport import Transport
from koel_tui.engine.wire_messages import Load, LoadProgress
from tests.engine.scripted import (
    QUESTION,
    ScriptedLink,
    ask,
    collect,
    scripted_engine,
    until,
)

SPEC, OTHER = ModelSpec(Path("one.gguf")), ModelSpec(Path("two.gguf"))


class World:
    """All created links, and the behaviour of the next ones."""

    def __init__(self) -> None:
        self.links: list[ScriptedLink] = []
        self.hold = False
        self.refuse: str | None = None

    def link(self) -> ScriptedLink:
        link = ScriptedLink()
        link.hold_load, link.refuse_load = self.hold, self.refuse
        self.links.append(link)
        return link


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def kind(world: World) -> type[Engine]:
    class ScriptedEngine(Engine):
        @classmethod
        def _create_transport(cls) -> Transport:
            return world.link()

    return ScriptedEngine


def loading(kind: type[Engine], spec: ModelSpec = SPEC, **more: Any) -> asyncio.Task[Engine]:
    return asyncio.create_task(kind.load(spec, **more))


def loaded_file(link: ScriptedLink) -> str:
    (command,) = link.sent(Load)
    assert isinstance(command, Load)
    return command.spec.path.name


async def test_engine_case_13_equal_loads_share_one(kind: type[Engine], world: World) -> None:
    first, second = await asyncio.gather(loading(kind), loading(kind, ModelSpec(Path("one.gguf"))))
    assert first is second
    assert len(world.links) == 1


async def test_engine_case_13_another_spec_never_gets_the_first_model(
    kind: type[Engine], world: World
) -> None:
    engines = await asyncio.gather(
        loading(kind),
        loading(kind, OTHER),
        loading(kind, parallel=2),
        loading(kind, max_sessions=3),
    )
    assert len({id(engine) for engine in engines}) == 4
    assert [loaded_file(link) for link in world.links] == [
        "one.gguf",
        "two.gguf",
        "one.gguf",
        "one.gguf",
    ]


async def test_engine_case_13_loads_after_one_another_are_two(
    kind: type[Engine], world: World
) -> None:
    first = await kind.load(SPEC)
    second = await kind.load(SPEC)
    assert first is not second
    await first.close()
    assert await second.open_session()


async def test_engine_case_13_each_kind_of_engine_loads_its_own(
    kind: type[Engine], world: World
) -> None:
    class Another(kind):  # type: ignore[misc, valid-type]  # a class made in a fixture
        pass

    first, second = await asyncio.gather(loading(kind), loading(Another))
    assert type(first) is kind and type(second) is Another


async def test_engine_case_12_a_failed_load_fails_its_callers_only(
    kind: type[Engine], world: World
) -> None:
    world.refuse = "bad magic"
    failing = [loading(kind), loading(kind)]
    await until(lambda: world.links)
    world.refuse = None
    works = loading(kind, OTHER)
    for result in await asyncio.gather(*failing, return_exceptions=True):
        assert isinstance(result, ModelLoadError) and str(result) == "bad magic"
    assert await works
    assert await kind.load(SPEC)
    assert [link.closed for link in world.links] == [1, 0, 0]


async def test_engine_case_13_a_cancelled_caller_leaves_the_load_to_the_others(
    kind: type[Engine], world: World
) -> None:
    world.hold = True
    leaving, staying = loading(kind), loading(kind)
    await until(lambda: world.links and world.links[0].sent(Load))
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    world.links[0].finish_load()
    assert await staying
    assert world.links[0].closed == 0


async def test_engine_case_13_the_last_caller_cancelled_ends_the_load(
    kind: type[Engine], world: World
) -> None:
    world.hold = True
    leaving = [loading(kind), loading(kind)]
    await until(lambda: world.links and world.links[0].sent(Load))
    for each in leaving:
        each.cancel()
    await asyncio.gather(*leaving, return_exceptions=True)
    assert world.links[0].closed == 1
    world.hold = False
    assert await kind.load(SPEC), "a later call was given the load that was called off"
    assert len(world.links) == 2


@pytest.mark.parametrize("steps", range(6))
async def test_engine_case_13_an_engine_without_a_caller_is_closed(
    kind: type[Engine], world: World, steps: int
) -> None:
    world.hold = True
    leaving = loading(kind)
    await until(lambda: world.links and world.links[0].sent(Load))
    world.links[0].finish_load()
    for _ in range(steps):  # between the end of the load and the return to its caller
        await asyncio.sleep(0)
    leaving.cancel()
    (result,) = await asyncio.gather(leaving, return_exceptions=True)
    if isinstance(result, Engine):
        await result.close()
    assert world.links[0].closed == 1


async def test_engine_case_13_progress_is_reported_to_every_caller(
    kind: type[Engine], world: World
) -> None:
    world.hold = True
    received: tuple[list[float], list[float]] = ([], [])
    both = [loading(kind, on_progress=each.append) for each in received]
    await until(lambda: world.links and world.links[0].sent(Load))
    world.links[0].emit(LoadProgress(0.5))
    world.links[0].finish_load()
    await asyncio.gather(*both)
    assert received == ([0.5], [0.5])


async def test_engine_close_while_the_link_opens_leaves_no_native_side() -> None:
    class SlowLink(ScriptedLink):
        async def open(self, receive: Any) -> None:
            self.opening = True
            for _ in range(5):
                await asyncio.sleep(0)
            await super().open(receive)
            assert not self.closed, "opened after it was closed"

        opening = False

    link = SlowLink()
    engine = Engine(link, SPEC)
    starting = asyncio.create_task(engine.start())
    await until(lambda: link.opening)
    await engine.close()
    assert isinstance((await asyncio.gather(starting, return_exceptions=True))[0], Exception)
    assert (link.opened, link.closed) == (1, 1)
    assert not link.sent(Load)


async def test_engine_a_link_that_cannot_open_fails_the_load(
    kind: type[Engine], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(self: ScriptedLink, receive: Any) -> None:
        raise EngineCrashedError("Cannot start the engine process: no memory.")

    monkeypatch.setattr(ScriptedLink, "open", refuse)
    with pytest.raises(EngineCrashedError, match="no memory"):
        await kind.load(SPEC)
    monkeypatch.undo()
    assert await kind.load(SPEC)


async def test_engine_case_20_a_restart_that_fails_is_tried_again_on_the_same_native_side() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    link.crash()
    await until(lambda: engine.card is None)
    link.refuse_load = "no such file"
    with pytest.raises(ModelLoadError, match="no such file"):
        await collect(session.stream(QUESTION))
    link.refuse_load = None
    answer = ask(session)
    await until(lambda: link.started)
    link.end(session.number)
    await answer
    assert link.opened == 2


async def test_an_engine_that_loads_at_its_first_call_reports_the_progress() -> None:
    link, seen = ScriptedLink(), list[float]()
    link.hold_load = True
    engine = Engine(link, SPEC, on_progress=seen.append)
    starting = asyncio.create_task(engine.start())
    await until(lambda: link.sent(Load))
    for fraction in (0.25, 0.75):
        link.emit(LoadProgress(fraction))
    link.finish_load()
    await starting
    assert seen == [0.25, 0.75]
    await engine.close()
