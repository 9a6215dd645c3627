"""Answers beside all threads."""

from collections.abc import AsyncIterator

import pytest
from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    TextMessageChunkEvent,
)

from koel_tui.agents import ASIDE
from koel_tui.protocol import AgentError, Message, TurnSettings
from koel_tui.session.aside import answer_aside
from tests.session.helpers import ReleasingAgent, begin, content, fail, say, start

ASKED = (Message("u", "user", "Sum it up."),)


async def test_an_answer_aside_is_its_text_and_nothing_of_it_stays() -> None:
    agent = ReleasingAgent(say("Hel", "lo"))
    assert await answer_aside(agent, ASKED, TurnSettings(max_output_tokens=9)) == "Hello"
    (asked,) = agent.inputs
    assert asked.thread_id.startswith(ASIDE) and len(asked.thread_id) > len(ASIDE)
    assert [message.content for message in asked.messages] == ["Sum it up."]
    assert (asked.forwarded_props, agent.settings) == ({}, [TurnSettings(max_output_tokens=9)])
    assert agent.released == [asked.thread_id]


@pytest.mark.parametrize(("code", "told"), [("refused", "refused"), (None, "internal")])
async def test_a_run_aside_that_fails_raises(code: str | None, told: str) -> None:
    async def failing(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield start("m")
        yield content("m", "Hel")
        yield RunErrorEvent(message="no room", code=code)

    agent = ReleasingAgent(failing)
    with pytest.raises(AgentError, match="no room") as raised:
        await answer_aside(agent, ASKED)
    assert raised.value.code == told
    assert len(agent.released) == 1


async def test_what_an_agent_raises_aside_comes_through() -> None:
    agent = ReleasingAgent(fail(OSError("gone"), "Hel"))
    with pytest.raises(OSError, match="gone"):
        await answer_aside(agent, ASKED)
    assert len(agent.released) == 1


async def test_b11_chunks_are_understood_and_a_stream_out_of_order_fails() -> None:
    async def chunked(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield TextMessageChunkEvent(message_id="m", delta="Hel")
        yield TextMessageChunkEvent(delta="lo")
        yield RunFinishedEvent(thread_id=run.thread_id, run_id=run.run_id)

    async def disordered(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield content("m", "Hello")

    assert await answer_aside(ReleasingAgent(chunked), ASKED) == "Hello"
    with pytest.raises(AgentError, match="order of events"):
        await answer_aside(ReleasingAgent(disordered), ASKED)
