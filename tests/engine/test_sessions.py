"""Opening sessions on a scripted native side: the single session, settings and saves."""

import asyncio
import math
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from koel_tui.engine import (
    EngineClosedError,
    EngineError,
    EngineSession,
    Finished,
    ModelLoadError,
    ModelSpec,
    Sampling,
    SessionClosedError,
    SessionLimitError,
    TurnSettings,
    UnsupportedError,
)
from koel_tui.engine.engine import Engine
from koel_tui.engine.wire_messages import CloseSession, OpenSession, SaveKv, StartTurn
from tests.engine.scripted import QUESTION, ScriptedLink, ask, collect, scripted_engine, until


@pytest.fixture
async def pair() -> AsyncIterator[tuple[Engine, ScriptedLink]]:
    engine, link = await scripted_engine(max_sessions=2)
    yield engine, link
    await engine.close()


Pair = tuple[Engine, ScriptedLink]


def creating(engine: Engine, count: int, **settings: Any) -> list[asyncio.Task[EngineSession]]:
    return [asyncio.create_task(engine.create_session(**settings)) for _ in range(count)]


async def test_engine_case_01_three_at_once_share_one_creation(pair: Pair) -> None:
    engine, link = pair
    first, *others = [await each for each in creating(engine, 3)]
    assert all(other is first for other in others)
    assert engine.session is first
    assert link.opened_sessions == [first.number]


async def test_engine_case_01_a_failure_reaches_all_three_and_the_next_call_works(
    pair: Pair,
) -> None:
    engine, link = pair
    link.refuse_sessions = "no room"
    for result in await asyncio.gather(*creating(engine, 3), return_exceptions=True):
        assert isinstance(result, EngineError) and str(result) == "no room"
    assert len(link.opened_sessions) == 1
    assert engine.session is None
    link.refuse_sessions = None
    assert await engine.create_session() is engine.session


async def test_engine_case_01_the_settings_of_later_callers_are_ignored(pair: Pair) -> None:
    engine, _ = pair
    first, second = await asyncio.gather(
        engine.create_session("first", system="Be kind."), engine.create_session(vision=True)
    )
    assert first is second
    assert (first.name, first.options.settings.system) == ("first", "Be kind.")


async def test_engine_case_01_a_cancelled_caller_leaves_the_creation_to_the_others(
    pair: Pair,
) -> None:
    engine, link = pair
    link.hold_sessions = True
    leaving, staying = creating(engine, 2)
    await until(lambda: link.opened_sessions)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    link.finish_sessions()
    assert await staying is engine.session
    assert leaving.cancelled()


async def test_engine_case_02_the_first_is_closed_before_the_second_exists(pair: Pair) -> None:
    engine, link = pair
    first = await engine.create_session()
    second = await engine.create_session()
    assert first is not second
    assert first.closed and not second.closed
    order = [type(each) for each in link.commands if isinstance(each, OpenSession | CloseSession)]
    assert order == [OpenSession, CloseSession, OpenSession]
    assert link.closed_sessions == [first.number]


async def test_engine_case_02_a_generating_session_ends_normally_when_it_is_replaced(
    pair: Pair,
) -> None:
    engine, link = pair
    first = await engine.create_session()
    answer = ask(first)
    await until(lambda: link.started)
    await engine.create_session()
    finished = (await answer)[-1]
    assert isinstance(finished, Finished) and finished.reason == "stopped"


async def test_engine_case_03_a_superseded_session_is_closed_and_harmless(pair: Pair) -> None:
    engine, link = pair
    first = await engine.create_session()
    second = await engine.create_session()
    with pytest.raises(SessionClosedError):
        first.add(QUESTION[0])
    await first.close()
    assert engine.session is second
    assert link.closed_sessions == [first.number]


async def test_engine_case_03_after_closing_the_current_session_there_is_none(pair: Pair) -> None:
    engine, _ = pair
    session = await engine.create_session()
    await session.close()
    assert engine.session is None
    assert engine.sessions == ()


async def test_engine_case_04_close_twice_frees_once(pair: Pair) -> None:
    engine, link = pair
    session = await engine.open_session()
    await session.close()
    await session.close()
    assert link.closed_sessions == [session.number]


@pytest.mark.parametrize("opener", [Engine.open_session, Engine.create_session])
async def test_engine_case_05_everything_after_close_is_refused(pair: Pair, opener: Any) -> None:
    engine, link = pair
    session = await opener(engine)
    unread = session.stream(QUESTION)
    await session.close()
    before = list(link.commands)
    with pytest.raises(SessionClosedError):
        session.add(QUESTION[0])
    with pytest.raises(SessionClosedError):
        session.stream(QUESTION)
    with pytest.raises(SessionClosedError):
        await session.respond()
    with pytest.raises(SessionClosedError):
        await collect(unread)
    with pytest.raises(SessionClosedError):
        await session.save_kv("snapshot")
    session.stop()
    assert link.commands == before


async def test_engine_the_cap_does_not_count_the_legacy_session(pair: Pair) -> None:
    engine, _ = pair
    legacy = await engine.create_session()
    opened = [await engine.open_session() for _ in range(2)]
    with pytest.raises(SessionLimitError):
        await engine.open_session()
    newer = await engine.create_session()
    assert engine.sessions == (newer, *opened)
    assert legacy not in engine.sessions


async def test_engine_open_session_never_touches_the_legacy_session(pair: Pair) -> None:
    engine, _ = pair
    opened = await engine.open_session()
    assert engine.session is None
    legacy = await engine.create_session()
    await opened.close()
    assert engine.session is legacy


async def test_engine_case_11_a_creation_suspended_by_close_fails_with_it(pair: Pair) -> None:
    engine, link = pair
    link.hold_sessions = True
    waiting = creating(engine, 2)
    await until(lambda: link.opened_sessions)
    await engine.close()
    for result in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(result, EngineClosedError)
    assert engine.session is None
    with pytest.raises(EngineClosedError):
        await engine.create_session()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_engine_a_cancelled_opening_is_closed_natively(pair: Pair) -> None:
    engine, link = pair
    link.hold_sessions = True
    opening = asyncio.create_task(engine.open_session())
    await until(lambda: link.opened_sessions)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    assert link.closed_sessions == link.opened_sessions


@pytest.mark.parametrize("feature", ["vision", "audio"])
async def test_engine_names_the_missing_file_for_images_and_sound(feature: str) -> None:
    engine, link = await scripted_engine(max_sessions=1)
    before = list(link.commands)
    openers: list[Any] = [engine.open_session, engine.create_session]
    for opener in openers:
        with pytest.raises(UnsupportedError, match=f"{feature}.*mmproj file"):
            await opener(**{feature: True})
    assert link.commands == before
    assert await engine.open_session(vision=False, audio=None)


async def test_engine_refuses_a_projector_before_anything_is_loaded() -> None:
    link = ScriptedLink()
    with pytest.raises(UnsupportedError, match=r"projector eyes\.gguf"):
        Engine(link, ModelSpec(Path("m.gguf"), mmproj=Path("eyes.gguf")))
    assert not link.opened


async def test_engine_uses_the_adapter_of_the_model_where_a_session_names_none(
    tmp_path: Path,
) -> None:
    usual, own = tmp_path / "usual.gguf", tmp_path / "own.gguf"
    usual.touch()
    own.touch()
    engine = Engine(ScriptedLink(), ModelSpec(Path("m.gguf"), lora=usual))
    assert (await engine.open_session()).options.lora == usual
    assert (await engine.open_session(lora=own)).options.lora == own
    await engine.close()


async def test_engine_a_missing_adapter_is_named(tmp_path: Path) -> None:
    engine, link = await scripted_engine(max_sessions=1)
    with pytest.raises(ModelLoadError, match=r"absent\.gguf: no such file"):
        await engine.open_session(lora=tmp_path / "absent.gguf")
    assert not link.opened_sessions
    assert await engine.open_session()


async def test_engine_passes_the_settings_on(pair: Pair, tmp_path: Path) -> None:
    engine, link = pair
    adapter, snapshot = tmp_path / "lora.gguf", tmp_path / "thread.kv"
    adapter.touch()
    tool = {"type": "function", "function": {"name": "now"}}
    session = await engine.open_session(
        "name",
        system="Be brief.",
        sampling=Sampling(temperature=0),
        lora=str(adapter),
        kv=str(snapshot),
        thinking=True,
        tools=[tool],
        max_output_tokens=7,
    )
    (opened,) = link.sent(OpenSession)
    assert isinstance(opened, OpenSession)
    assert (opened.name, opened.lora, opened.kv) == ("name", adapter, snapshot)
    assert session.options.settings == TurnSettings(
        system="Be brief.",
        sampling=Sampling(temperature=0),
        max_output_tokens=7,
        thinking=True,
        tools=(tool,),
    )


async def test_engine_a_keyword_replaces_that_field_of_the_settings(pair: Pair) -> None:
    engine, _ = pair
    settings = TurnSettings(system="Be brief.", max_output_tokens=7, stop=("x",))
    session = await engine.open_session("a", settings, max_output_tokens=9, stop=[], system=None)
    assert session.options.settings == TurnSettings(
        system="Be brief.", max_output_tokens=9, stop=()
    )


async def test_engine_the_settings_of_a_turn_are_its_own_and_the_sessions(pair: Pair) -> None:
    engine, link = pair
    session = await engine.open_session(system="Be brief.", max_output_tokens=7)
    own = TurnSettings(max_output_tokens=9, schema={"type": "string"})
    for turn in (
        session.stream(QUESTION, own, schema={"type": "object"}),
        session.stream(settings=own),
        session.stream(),
    ):
        reading = asyncio.create_task(collect(turn))
        await until(lambda: link.turns)
        link.end(session.number)
        await reading
    sent = [each.settings for each in link.commands if isinstance(each, StartTurn)]
    assert sent == [
        TurnSettings(system="Be brief.", max_output_tokens=9, schema={"type": "object"}),
        TurnSettings(system="Be brief.", max_output_tokens=9, schema={"type": "string"}),
        TurnSettings(system="Be brief.", max_output_tokens=7),
    ]


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"name": 5}, "name must be a string"),
        ({"settings": {"system": "x"}}, "settings must be a TurnSettings"),
        ({"system": 5}, "system must be a string"),
        ({"max_output_tokens": 0}, "max_output_tokens must be a whole number from 1 to"),
        ({"chat_template": "made-up"}, "chat_template must be one of"),
        ({"stop": [""]}, "stop must not contain an empty string"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_engine_an_invalid_setting_is_refused_before_anything_is_sent(
    keywords: dict[str, Any], problem: str
) -> None:
    engine, link = await scripted_engine(max_sessions=1)
    with pytest.raises(ValueError, match=problem):
        await engine.open_session(**keywords)
    assert not link.opened_sessions
    session = await engine.open_session()
    bad: Any = {"system": "x"}
    with pytest.raises(ValueError, match="settings must be a TurnSettings"):
        session.stream(QUESTION, bad)
    with pytest.raises(ValueError, match="schema must be"):
        session.stream(QUESTION, schema=bad["system"])
    assert not session.generating and not link.started


@pytest.mark.parametrize("choice", ["required", "a_tool"])
async def test_engine_a_tool_choice_it_cannot_do_is_refused(choice: str) -> None:
    engine, link = await scripted_engine(max_sessions=1)
    with pytest.raises(UnsupportedError, match=f"tool_choice is '{choice}'"):
        await engine.open_session(tool_choice=choice)
    session = await engine.open_session(tool_choice="none")
    with pytest.raises(UnsupportedError, match="Use auto or none"):
        session.stream(QUESTION, TurnSettings(tool_choice=choice))
    assert not link.started


async def test_engine_saves_a_session_it_knows(pair: Pair, tmp_path: Path) -> None:
    engine, link = pair
    session = await engine.open_session()
    await session.save_kv(tmp_path / "thread.kv")
    await session.save_kv(tmp_path / "thread.kv", budget_bytes=5)
    first, second = link.sent(SaveKv)
    assert isinstance(first, SaveKv) and isinstance(second, SaveKv)
    assert (first.session, first.path) == (session.number, tmp_path / "thread.kv")
    assert (first.budget_bytes, second.budget_bytes) == (2 * 1024**3, 5)
    with pytest.raises(ValueError, match="budget_bytes"):
        await session.save_kv(tmp_path / "thread.kv", budget_bytes=-1)


def test_engine_refuses_fewer_slots_than_turns_at_once() -> None:
    with pytest.raises(ValueError, match="slots must be at least parallel"):
        Engine(ScriptedLink(), ModelSpec(Path("none.gguf"), slots=1), parallel=2)
    with pytest.raises(ValueError, match="slots must be 1 to 256"):
        ModelSpec(Path("none.gguf"), slots=0)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"context_tokens": 0}, "context_tokens must be at least 1, not 0"),
        ({"threads": 0}, "threads must be 1 to 512, not 0"),
        ({"threads": 513}, "threads must be 1 to 512, not 513"),
        ({"batch_tokens": 100_000}, "batch_tokens must be 1 to 65536, not 100000"),
        ({"kv_type": "q4_0"}, "kv_type must be f16 or q8_0, not q4_0"),
    ],
)
def test_invalid_load_settings_are_refused(values: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        ModelSpec(Path("none.gguf"), **values)


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"temperature": -1.0}, "temperature must be a number from 0 to 1000000, not -1.0"),
        ({"top_p": math.inf}, "top_p must be a number from 0 to 1, not inf"),
        (
            {"presence_penalty": math.nan},
            "presence_penalty must be a number from -10 to 10",
        ),
        ({"seed": 2**32}, "seed must be a whole number from 0 to 4294967295"),
    ],
)
def test_sampling_values_that_are_not_numbers_are_refused(
    values: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Sampling(**values)
