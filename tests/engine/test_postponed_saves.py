"""A save waits while a turn is generated or queued, but not longer than its session lives."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from koel_tui.engine import Engine, EngineClosedError, EngineCrashedError, EngineSession
from koel_tui.engine.wire_messages import CloseSession, SaveKv, StartTurn
from tests.engine.scripted import ScriptedLink, ask, scripted_engine, until

KV = Path("1.kv")


async def waiting_save() -> tuple[
    Engine, ScriptedLink, EngineSession, EngineSession, asyncio.Task[Any], asyncio.Task[None]
]:
    """Return an engine with a running turn of one session and a waiting save of another session."""
    engine, link = await scripted_engine()
    running, session = await engine.open_session(), await engine.open_session()
    turn = ask(running)
    await until(lambda: link.started)
    saving = asyncio.create_task(session.save_kv(KV))
    await asyncio.sleep(0)
    return engine, link, running, session, turn, saving


async def test_a_save_waits_for_the_running_and_the_queued_turns() -> None:
    engine, link = await scripted_engine()
    first, second, third = [await engine.open_session() for _ in range(3)]
    turns = [ask(first), ask(second)]
    await until(lambda: link.started)
    saving = asyncio.create_task(third.save_kv(KV))
    await asyncio.sleep(0)
    link.end(first.number)
    await until(lambda: len(link.started) == 2)
    assert link.sent(SaveKv) == [], "it delays the queued turn"
    link.end(second.number)
    await saving
    await asyncio.gather(*turns)
    kinds = [type(each) for each in link.commands if isinstance(each, StartTurn | SaveKv)]
    assert kinds == [StartTurn, StartTurn, SaveKv]
    await third.save_kv(KV)
    assert len(link.sent(SaveKv)) == 2, "nothing runs, so it need not wait"
    await engine.close()


async def test_a_turn_that_leaves_the_queue_releases_the_save() -> None:
    engine, link = await scripted_engine()
    session, other = await engine.open_session(), await engine.open_session()
    turn = ask(session)
    await until(lambda: link.started)
    saving = asyncio.create_task(other.save_kv(KV))
    await asyncio.sleep(0)
    session.stop()
    await saving
    await turn
    await engine.close()


@pytest.mark.parametrize("closing", ["session", "session that saves", "engine"])
async def test_a_save_is_sent_at_the_latest_before_the_end(closing: str) -> None:
    engine, link, running, session, turn, saving = await waiting_save()
    assert link.sent(SaveKv) == []
    match closing:
        case "session":
            await session.close()
        case "session that saves":
            await session.close(Path("2.kv"))
        case _:
            await engine.close()
    saves = [each for each in link.commands if isinstance(each, SaveKv | CloseSession)]
    assert sorted(each.path.name for each in saves if isinstance(each, SaveKv)) == (
        ["1.kv", "2.kv"] if "saves" in closing else ["1.kv"]
    )
    first_close = next(
        (saves.index(each) for each in saves if isinstance(each, CloseSession)), len(saves)
    )
    assert first_close >= (2 if "saves" in closing else 1), "its state is gone"
    if closing == "engine":
        with pytest.raises(EngineClosedError):
            await saving
        with pytest.raises(EngineClosedError):
            await turn
        return
    await saving
    link.end(running.number)
    await turn
    await engine.close()


async def test_a_crash_fails_a_save_that_waits() -> None:
    engine, link, _running, session, turn, saving = await waiting_save()
    link.crash()
    for task in (saving, turn):
        with pytest.raises(EngineCrashedError):
            await task
    assert link.sent(SaveKv) == []
    await session.save_kv(KV)
    await engine.close()


async def test_a_caller_that_leaves_saves_nothing() -> None:
    engine, link, running, _session, turn, saving = await waiting_save()
    saving.cancel()
    await asyncio.wait([saving])
    link.end(running.number)
    await turn
    assert link.sent(SaveKv) == []
    await engine.close()
