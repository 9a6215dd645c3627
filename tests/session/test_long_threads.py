"""A send in a long thread: the agent gets all messages, and the event loop is not blocked."""

import asyncio
from collections.abc import AsyncIterator

from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol import ChatState, Event, Message, TurnSettings
from koel_tui.protocol.messages import STEP
from koel_tui.session import KoelClient
from koel_tui.session.interceptors import Next
from tests.session.helpers import ScriptedAgent, say

LONG = 10_000
STATE = ChatState(
    messages=tuple(
        Message(str(number), "user" if number % 2 == 0 else "assistant", f"text {number}")
        for number in range(LONG)
    )
)


async def turns_of_the_loop(counts: list[int]) -> None:
    """Count the iterations of the event loop."""
    counts.append(0)
    while True:
        counts[0] += 1
        await asyncio.sleep(0)


async def test_the_event_loop_runs_between_the_steps_of_a_conversion() -> None:
    counts: list[int] = []
    ticking = asyncio.create_task(turns_of_the_loop(counts))
    at_run: list[int] = []

    async def answer(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        at_run.append(counts[0])
        async for event in say("yes")(run):
            yield event

    client = KoelClient(ScriptedAgent(answer))
    session = client.new_session("t", STATE)
    await asyncio.sleep(0)
    starts = []
    for question in ("first", "second"):
        starts.append(counts[0])
        await session.send(question)
    first, second = (end - begin for begin, end in zip(starts, at_run, strict=True))
    assert first >= LONG / STEP - 1
    assert second < 20, "the earlier turns are not converted again"
    ticking.cancel()
    await client.dispose()


async def test_agents_and_interceptors_get_the_complete_list_of_each_run() -> None:
    seen: list[RunAgentInput] = []

    class Seeing:
        def __call__(
            self, run: RunAgentInput, settings: TurnSettings | None, following: Next
        ) -> AsyncIterator[Event]:
            seen.append(run.model_copy(update={"messages": list(run.messages)}))
            run.messages.clear()  # a separate list: the next run must be complete
            return following(run.model_copy(update={"messages": seen[-1].messages}), settings)

    agent = ScriptedAgent(say("yes"))
    client = KoelClient(agent, interceptors=[Seeing()])
    session = client.new_session("t", STATE)
    for question in ("first", "second"):
        await session.send(question)
    first, second = (run.messages for run in seen)
    texts = [message.content for message in STATE.messages]
    assert [each.content for each in first] == [*texts, "first"]
    assert [each.content for each in second] == [*texts, "first", "yes", "second"]
    assert all(old is new for old, new in zip(first[:LONG], second[:LONG], strict=True))
    assert [len(run.messages) for run in agent.inputs] == [LONG + 1, LONG + 3]
    await client.dispose()


async def test_a_run_that_is_cancelled_during_the_conversion_never_reaches_the_agent() -> None:
    agent = ScriptedAgent(say("yes"))
    client = KoelClient(agent)
    session = client.new_session("t", STATE)
    sending = asyncio.ensure_future(session.send("first"))
    for _ in range(5):
        await asyncio.sleep(0)
    session.cancel()
    await sending
    assert not agent.inputs and session.state.phase == "cancelled"
    await session.send("second")
    assert len(agent.inputs[0].messages) == LONG + 2
    await client.dispose()
