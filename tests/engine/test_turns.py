"""Turns on a scripted native side: events, history, and crashes between turns."""

import asyncio

import pytest

from koel_tui.engine import (
    ChatMessage,
    Finished,
    MemoryReport,
    Progress,
    SessionBusyError,
    SessionMemory,
    SessionMetrics,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from koel_tui.engine.wire_messages import Load, MemoryChanged, StartTurn
from tests.engine.scripted import QUESTION, ask, collect, scripted_engine, texts, until


async def test_engine_case_18_a_stop_drops_the_unread_text_of_a_slow_reader() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    stream = session.stream(QUESTION)
    first = asyncio.ensure_future(anext(stream))
    await until(lambda: link.started)
    link.say(session.number, *"1234")
    link.end(session.number, tokens=4)
    assert await first == TextDelta("1")
    await until(lambda: not link.pending)
    session.stop()
    rest = await collect(stream)
    assert len(texts(rest)) <= 1
    assert isinstance(rest[-1], Finished) and rest[-1].reason == "stopped"
    assert session.history[-1] == ChatMessage("assistant", "1")


async def test_engine_a_stalled_reader_does_not_block_its_own_turn() -> None:
    engine, link = await scripted_engine()
    running, waiting, last = [await engine.open_session() for _ in range(3)]
    answer = ask(running)
    await until(lambda: link.started)
    stream = waiting.stream(QUESTION, progress=True)
    assert await anext(stream) == Progress("queued", position=1)
    behind = ask(last)
    link.end(running.number)
    await until(lambda: link.started[-1] == waiting.number)
    link.end(waiting.number)
    await until(lambda: link.started[-1] == last.number)
    link.end(last.number)
    await asyncio.gather(answer, behind)
    await stream.aclose()


async def test_engine_closing_a_stream_ends_it_for_its_reader() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    stream = session.stream(QUESTION)
    reading = asyncio.create_task(collect(stream))
    await until(lambda: link.started)
    await stream.aclose()
    (last,) = await reading
    assert isinstance(last, Finished) and last.reason == "stopped"
    assert not link.turns


async def test_engine_case_26_metrics_after_three_tokens_say_three() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    assert session.metrics == SessionMetrics()
    answer = ask(session)
    await until(lambda: link.started)
    link.say(session.number, "a", "b", "c")
    link.end(session.number, tokens=3)
    finished = (await answer)[-1]
    assert isinstance(finished, Finished)
    assert finished.metrics.output_tokens == session.metrics.output_tokens == 3


async def test_engine_says_how_many_turns_were_left_out() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    answer = ask(session)
    await until(lambda: link.started)
    link.end(session.number, trimmed=2)
    assert await answer == [Finished("end", trimmed_turns=2)]


async def test_engine_thinking_is_reported_and_not_recorded() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session(thinking=True)
    answer = ask(session)
    await until(lambda: link.started)
    link.think(session.number, "hm")
    link.say(session.number, "yes")
    link.end(session.number)
    deltas = await answer
    assert deltas[:2] == [ThinkingDelta("hm"), TextDelta("yes")]
    assert session.history[-1] == ChatMessage("assistant", "yes")


async def test_engine_a_tool_call_without_text_is_recorded() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    session.add(QUESTION[0])
    answer = asyncio.create_task(session.respond())
    await until(lambda: link.started)
    call = ToolCallDelta("1", "now", "{}")
    link.call_tool(session.number, call)
    link.end(session.number, reason="tool_calls")
    assert await answer == ""
    assert session.history[-1] == ChatMessage("assistant", "", tool_calls=(call,))


async def test_engine_passes_the_schema_on() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    answer = asyncio.create_task(collect(session.stream(QUESTION, schema={"type": "object"})))
    await until(lambda: link.started)
    link.end(session.number)
    await answer
    (start,) = link.sent(StartTurn)
    assert isinstance(start, StartTurn) and start.settings.schema == {"type": "object"}


async def test_engine_case_20_a_crash_between_turns_is_not_noticed_by_an_idle_session() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    link.crash()
    await until(lambda: engine.card is None)
    assert engine.memory == MemoryReport()
    answer = ask(session)
    await until(lambda: link.started)
    assert link.opened_sessions == [session.number] * 2
    link.end(session.number)
    await answer


async def test_engine_case_20_a_session_closed_while_the_engine_restarts_is_not_reopened() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    link.crash()
    await until(lambda: engine.card is None)
    link.hold_load = True
    answer = ask(session)
    await until(lambda: len(link.sent(Load)) == 2)
    await session.close()
    assert await answer == [Finished("stopped")]
    link.finish_load()
    await engine.start()
    await asyncio.sleep(0)
    assert link.opened_sessions == [session.number]


async def test_engine_memory_is_the_latest_report_of_the_native_side() -> None:
    engine, link = await scripted_engine()
    assert engine.memory == MemoryReport()
    held = (SessionMemory(1, 8, parked=True), SessionMemory(2, 4, False))
    report = MemoryReport(100, 20, held, slots=1, max_slots=2)
    link.emit(MemoryChanged(report))
    await until(lambda: engine.memory == report)
    assert engine.memory.parked_bytes == 8
    await engine.close()
    assert engine.memory == MemoryReport()


@pytest.mark.parametrize("ends", ["ended", "stopped", "failed", "left"])
async def test_b15_a_message_added_during_a_turn_follows_its_answer(ends: str) -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    question, next_question = ChatMessage("user", "France?"), ChatMessage("user", "Italy?")
    session.add(question)
    stream = session.stream()
    received: list[object] = []

    async def read() -> None:
        async for delta in stream:
            received.append(delta)

    reading = asyncio.create_task(read())
    await until(lambda: link.started)
    link.say(session.number, "Paris")
    await until(lambda: received)
    session.add(next_question)
    assert list(session.history) == [question]
    if ends == "ended":
        link.end(session.number)
    elif ends == "stopped":
        session.stop()
    elif ends == "failed":
        link.fail(session.number, "no")
    else:
        await stream.aclose()
    await asyncio.gather(reading, return_exceptions=True)
    assert session.history == (question, ChatMessage("assistant", "Paris"), next_question)
    answer = asyncio.create_task(session.respond())
    await until(lambda: len(link.started) == 2)
    link.say(session.number, "Rome")
    link.end(session.number)
    assert await answer == "Rome"
    assert [each.role for each in session.history] == ["user", "assistant"] * 2


async def test_a_message_added_before_the_first_read_of_a_stream_is_sent() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    session.add(ChatMessage("user", "replaced"))
    stream = session.stream(QUESTION)
    added = ChatMessage("user", "And in French?")
    session.add(added)
    assert session.history == (*QUESTION, added)
    reading = asyncio.create_task(collect(stream))
    await until(lambda: link.started)
    link.say(session.number, "bonjour")
    link.end(session.number)
    await reading
    (sent,) = [each for each in link.commands if isinstance(each, StartTurn)]
    assert sent.messages == (*QUESTION, added)
    assert session.history == (*QUESTION, added, ChatMessage("assistant", "bonjour"))


async def test_engine_a_stream_dropped_on_another_thread_ends_its_turn() -> None:
    """The garbage collector can run on any thread, and other threads have no event loop."""
    engine, link = await scripted_engine()
    session = await engine.open_session()
    streams = [session.stream(QUESTION)]
    first = asyncio.ensure_future(anext(streams[0]))
    await until(lambda: link.started)
    link.say(session.number, "1")
    await first
    del first
    await asyncio.to_thread(streams.clear)
    await until(lambda: not session.generating)
    assert link.turns == {} and engine._mutex.held == 0
    assert session.history[-1] == ChatMessage("assistant", "1")
    await engine.close()


async def test_only_the_second_of_two_streams_of_a_session_is_refused() -> None:
    engine, link = await scripted_engine()
    session = await engine.open_session()
    first, second = session.stream(QUESTION), session.stream(QUESTION)
    reading = asyncio.create_task(collect(first))
    await until(lambda: link.started)
    with pytest.raises(SessionBusyError):
        await anext(second)
    assert session.generating
    link.say(session.number, *"12")
    link.end(session.number)
    assert texts(await reading) == ["1", "2"]
    assert await collect(second) == []
    assert session.history == (*QUESTION, ChatMessage("assistant", "12"))
    assert link.started == [session.number]
