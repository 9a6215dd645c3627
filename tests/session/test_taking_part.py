"""The reducers and observers of a client, and the order of events in its sessions."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from ag_ui.core import BaseEvent, CustomEvent, RunAgentInput, ToolCallEndEvent

from koel_tui.agents import METRICS
from koel_tui.protocol import ChatState, Event, ProtocolError, RunPhase
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from tests.session.helpers import ScriptedAgent, begin, content, end, eventually, finish, say, start


class Scribe:
    """Adds the events it receives to a shared list."""

    def __init__(self, name: str, notes: list[str]) -> None:
        self._name = name
        self._notes = notes

    def on_event(self, thread_id: str, event: Event) -> None:
        self._notes.append(f"{self._name} in {thread_id}")

    def on_state(self, thread_id: str, state: ChatState) -> None:
        self._notes.append(f"{self._name} out {thread_id}")


class Raising:
    def on_event(self, thread_id: str, event: Event) -> None:
        raise RuntimeError("observer")

    def on_state(self, thread_id: str, state: ChatState) -> None:
        raise RuntimeError("observer")


async def test_observers_receive_events_in_order_and_states_in_reverse() -> None:
    notes: list[str] = []
    client = KoelClient(ScriptedAgent(say("x")), observers=[Scribe("A", notes), Scribe("B", notes)])
    await client.new_session("t").send("hi")
    first_content = ["A in t", "B in t", "B out t", "A out t"]
    assert any(notes[at : at + 4] == first_content for at in range(len(notes)))


async def test_an_observer_that_raises_is_reported_and_the_others_still_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    notes: list[str] = []
    client = KoelClient(ScriptedAgent(say("x")), observers=[Raising(), Scribe("B", notes)])
    session = client.new_session("t")
    await session.send("hi")
    assert session.state.messages[-1].content == "x" and "B in t" in notes
    assert any("Raising" in record.getMessage() for record in caplog.records)


async def test_session_case_13_a_reducer_that_raises_ends_the_run_with_an_error() -> None:
    def broken(state: ChatState, event: Event) -> ChatState:
        raise ZeroDivisionError("reducer")

    session = KoelClient(ScriptedAgent(say("x")), reducers=[broken]).new_session()
    await asyncio.wait_for(session.send("hi"), 1)
    assert session.state.phase is RunPhase.ERROR
    assert session.state.error is not None
    assert isinstance(session.state.error.cause, ZeroDivisionError)


async def test_reducers_carry_the_state_on_from_left_to_right() -> None:
    def noting(word: str) -> "object":
        def note(state: ChatState, event: Event) -> ChatState:
            from dataclasses import replace

            order = (*state.state.get("order", ()), word)[-2:]
            return replace(state, state={"order": order})

        return note

    client = KoelClient(
        ScriptedAgent(say("x")),
        reducers=[noting("one"), noting("two")],  # type: ignore[list-item]  # they take any event
    )
    session = client.new_session()
    await session.send("hi")
    assert session.state.state == {"order": ("one", "two")}


async def test_session_case_17_an_orphan_end_of_a_call_ends_the_run() -> None:
    async def orphan(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield start("a")
        yield content("a", "so far")
        yield ToolCallEndEvent(tool_call_id="nobody")
        yield content("a", " never seen")

    session = KoelClient(ScriptedAgent(orphan)).new_session()
    await session.send("hi")
    assert isinstance(session.state.error, ProtocolError)
    assert session.state.error.event_type == "TOOL_CALL_END"
    assert session.state.messages[-1].content == "so far"
    assert session.state.messages[-1].interrupted


async def test_session_case_18_a_run_that_does_not_begin_is_an_error() -> None:
    async def early(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield start("a")
        yield end("a")
        yield finish(run)

    session = KoelClient(ScriptedAgent(early)).new_session()
    await session.send("hi")
    assert isinstance(session.state.error, ProtocolError)


async def test_the_model_that_answered_is_noted_with_the_thread() -> None:
    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield CustomEvent(name=METRICS, value={"model": "SmolLM2"})
        yield finish(run)

    storage = MemoryStorage()
    session = KoelClient(ScriptedAgent(answer), storage=storage).new_session("t")
    await session.send("hi")
    await session.describe(title="Sea")
    await session.dispose()
    (summary,) = await storage.summaries()
    assert (summary.model, summary.title) == ("SmolLM2", "Sea")
    await eventually(lambda: session.closed)
