"""The engine on a scripted native side: session limit, queue, close and crash."""

import asyncio
from functools import partial

import pytest

from koel_tui.engine import (
    ChatMessage,
    Delta,
    EngineClosedError,
    EngineCrashedError,
    EngineError,
    EngineSession,
    Finished,
    SessionBusyError,
    SessionClosedError,
    SessionLimitError,
    TextDelta,
)
from koel_tui.engine.wire_messages import CloseSession, OpenSession, StopTurn
from tests.engine.scripted import QUESTION, ask, scripted_engine, texts, until


async def test_engine_case_06_cap_0_is_refused_without_a_native_call() -> None:
    engine, link = await scripted_engine(max_sessions=0)
    before = list(link.commands)
    with pytest.raises(SessionLimitError) as error_reply:
        await engine.open_session()
    assert str(error_reply.value) == (
        "Max concurrent sessions (0) reached. Close an existing session before opening a new one."
    )
    assert link.commands == before


async def test_engine_case_07_cap_2_third_refused_until_one_closes() -> None:
    engine, _ = await scripted_engine(max_sessions=2)
    first = await engine.open_session()
    await engine.open_session()
    with pytest.raises(SessionLimitError, match=r"\(2\) reached"):
        await engine.open_session()
    await first.close()
    await engine.open_session()
    assert len(engine.sessions) == 2


async def test_engine_case_07_concurrent_opens_cannot_pass_the_cap_together() -> None:
    engine, _ = await scripted_engine(max_sessions=2)
    results = await asyncio.gather(
        *(engine.open_session() for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(result, EngineSession) for result in results) == 2
    assert sum(isinstance(result, SessionLimitError) for result in results) == 3


async def test_engine_case_08_a_failed_opening_gives_its_place_back() -> None:
    engine, link = await scripted_engine(max_sessions=1)
    link.refuse_sessions = "no room"
    with pytest.raises(EngineError, match="no room"):
        await engine.open_session()
    link.refuse_sessions = None
    assert await engine.open_session()


async def test_engine_case_08_a_cancelled_opening_gives_its_place_back() -> None:
    engine, link = await scripted_engine(max_sessions=1)
    link.hold_sessions = True
    opening = asyncio.create_task(engine.open_session())
    await until(lambda: link.sent(OpenSession))
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    link.hold_sessions = False
    assert await engine.open_session()


async def test_engine_case_09_no_cap_opens_50() -> None:
    engine, _ = await scripted_engine(max_sessions=None)
    sessions = [await engine.open_session(str(number)) for number in range(50)]
    assert engine.sessions == tuple(sessions)
    assert [session.name for session in engine.sessions][:2] == ["0", "1"]


async def test_engine_case_10_closing_a_leaves_b_answering() -> None:
    engine, link = await scripted_engine()
    first, second = await engine.open_session(), await engine.open_session()
    answer = ask(second)
    await until(lambda: link.started)
    await first.close()
    link.say(second.number, "still ", "here")
    link.end(second.number)
    assert texts(await answer) == ["still ", "here"]


async def test_engine_case_11_close_with_three_open_closes_each_once() -> None:
    engine, link = await scripted_engine()
    sessions = [await engine.open_session() for _ in range(3)]
    await asyncio.gather(engine.close(), engine.close())
    await engine.close()
    assert link.closed == 1
    assert sorted(link.closed_sessions) == [session.number for session in sessions]
    with pytest.raises(EngineClosedError):
        await engine.open_session()
    for session in sessions:
        with pytest.raises(SessionClosedError):
            session.add(QUESTION[0])


async def test_engine_case_11_close_fails_the_running_and_the_waiting() -> None:
    engine, link = await scripted_engine()
    running, waiting = await engine.open_session(), await engine.open_session()
    tasks = [ask(running), ask(waiting)]
    await until(lambda: link.started)
    await engine.close()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, EngineClosedError)


async def test_engine_case_11_an_opening_suspended_by_close_fails_with_it() -> None:
    engine, link = await scripted_engine()
    link.hold_sessions = True
    opening = asyncio.create_task(engine.open_session())
    await until(lambda: link.sent(OpenSession))
    await engine.close()
    with pytest.raises(EngineClosedError):
        await opening
    assert engine.sessions == ()


async def test_engine_case_14_b_waits_and_emits_nothing_until_a_ends() -> None:
    engine, link = await scripted_engine()
    first, second = await engine.open_session(), await engine.open_session()
    a, b = ask(first), ask(second)
    await until(lambda: link.started)
    link.say(first.number, "a")
    await until(lambda: not second.generating or link.started == [first.number])
    assert link.started == [first.number]
    assert not b.done()
    link.end(first.number)
    assert texts(await a) == ["a"]
    await until(lambda: len(link.started) == 2)
    link.say(second.number, "b")
    link.end(second.number)
    assert texts(await b) == ["b"]


async def test_engine_case_15_waiters_are_served_in_order() -> None:
    engine, link = await scripted_engine()
    sessions = [await engine.open_session() for _ in range(4)]
    tasks = []
    for session in sessions:
        tasks.append(ask(session))
        await asyncio.sleep(0)
    for served, session in enumerate(sessions, start=1):
        await until(partial(lambda count: len(link.started) == count, served))
        link.end(session.number)
    await asyncio.gather(*tasks)
    assert link.started == [session.number for session in sessions]


async def test_engine_case_15_a_cancelled_waiter_leaves_the_line() -> None:
    engine, link = await scripted_engine()
    a, b, c = [await engine.open_session() for _ in range(3)]
    running, leaving, next_one = ask(a), ask(b), ask(c)
    await until(lambda: link.started)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert link.started == [a.number]
    link.end(a.number)
    await until(lambda: len(link.started) == 2)
    link.end(c.number)
    await asyncio.gather(running, next_one)
    assert link.started == [a.number, c.number]


async def test_engine_parallel_2_admits_two_and_no_third() -> None:
    engine, link = await scripted_engine(parallel=2)
    sessions = [await engine.open_session() for _ in range(3)]
    tasks = [ask(session) for session in sessions]
    await until(lambda: len(link.started) == 2)
    link.end(sessions[1].number)
    await until(lambda: len(link.started) == 3)
    link.end(sessions[0].number)
    link.end(sessions[2].number)
    await asyncio.gather(*tasks)


async def test_engine_case_16_an_error_mid_stream_frees_the_line() -> None:
    engine, link = await scripted_engine()
    session, other = await engine.open_session(), await engine.open_session()
    seen: list[str] = []

    async def read() -> None:
        async for delta in session.stream(QUESTION):
            if isinstance(delta, TextDelta):
                seen.append(delta.text)

    reading, waiting = asyncio.create_task(read()), ask(other)
    await until(lambda: link.started)
    link.say(session.number, "half")
    link.fail(session.number, "llama_decode failed")
    with pytest.raises(EngineError, match="llama_decode failed"):
        await reading
    assert seen == ["half"]
    await until(lambda: len(link.started) == 2)
    link.end(other.number)
    await waiting
    assert session.history[-1] == ChatMessage("assistant", "half")


async def test_engine_case_17_leaving_the_loop_frees_the_line_at_once() -> None:
    engine, link = await scripted_engine()
    session, other = await engine.open_session(), await engine.open_session()

    async def leave_after_three() -> int:
        count = 0
        async for _ in session.stream(QUESTION):
            count += 1
            if count == 3:
                break
        return count

    leaving, waiting = asyncio.create_task(leave_after_three()), ask(other)
    await until(lambda: link.started)
    link.say(session.number, *"01234567890123456789")
    assert await leaving == 3
    assert link.sent(StopTurn)
    assert not session.generating
    await until(lambda: len(link.started) == 2)
    link.end(other.number)
    await waiting
    assert session.history[-1] == ChatMessage("assistant", "012")


async def test_engine_busy_session_refuses_a_second_turn_at_once() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    answer = ask(session)
    await until(lambda: link.started)
    with pytest.raises(SessionBusyError):
        session.stream(QUESTION)
    with pytest.raises(SessionBusyError):
        await session.respond()
    link.end(session.number)
    await answer


async def test_engine_case_18_stop_ends_the_stream_with_at_most_one_more_token() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    seen: list[Delta] = []

    async def stop_after_two() -> None:
        async for delta in session.stream(QUESTION):
            seen.append(delta)
            if texts(seen) == ["1", "2"]:
                session.stop()
                session.stop()

    reading = asyncio.create_task(stop_after_two())
    await until(lambda: link.started)
    link.say(session.number, *"123456789")
    await reading
    assert len(texts(seen)) <= 3
    assert isinstance(seen[-1], Finished) and seen[-1].reason == "stopped"
    assert len(link.sent(StopTurn)) == 1


async def test_engine_case_19_stopping_b_while_it_waits_leaves_a_alone() -> None:
    engine, link = await scripted_engine()
    first, second = await engine.open_session(), await engine.open_session()
    a, b = ask(first), ask(second)
    await until(lambda: link.started and second.generating)
    second.stop()
    assert await b == [Finished("stopped")]
    assert not link.sent(StopTurn)
    link.say(first.number, "whole")
    link.end(first.number)
    assert texts(await a) == ["whole"]
    assert link.started == [first.number]


async def test_engine_stop_on_an_idle_session_does_nothing() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    session.stop()
    answer = ask(session)
    await until(lambda: link.started)
    link.say(session.number, "x")
    link.end(session.number)
    assert texts(await answer) == ["x"]


async def test_engine_close_during_generation_ends_the_stream_before_the_session() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    answer = ask(session)
    await until(lambda: link.started)
    await session.close()
    deltas = await answer
    assert isinstance(deltas[-1], Finished) and deltas[-1].reason == "stopped"
    order = [type(command) for command in link.commands]
    assert order.index(StopTurn) < order.index(CloseSession)


async def test_engine_case_20_a_crash_fails_every_caller_and_the_next_call_works() -> None:
    engine, link = await scripted_engine()
    running, waiting, opening = [await engine.open_session() for _ in range(3)]
    tasks = [ask(running), ask(waiting)]
    await until(lambda: link.started)
    link.crash()
    for result in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(result, EngineCrashedError)
    answer = ask(opening)
    await until(lambda: link.started[-1:] == [opening.number])
    assert link.opened == 2
    link.say(opening.number, "back")
    link.end(opening.number)
    assert texts(await answer) == ["back"]


async def test_engine_answers_are_recorded_and_empty_ones_are_not() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    answer = ask(session)
    await until(lambda: link.started)
    link.end(session.number)
    await answer
    assert session.history == tuple(QUESTION)
    answer = ask(session)
    await until(lambda: len(link.started) == 2)
    link.say(session.number, "a", "b")
    link.end(session.number, tokens=2)
    await answer
    assert session.history == (*QUESTION, ChatMessage("assistant", "ab"))
    assert session.metrics.output_tokens == 2
