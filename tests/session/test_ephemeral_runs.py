"""Ephemeral runs of a client, which belong to no thread: titles and summaries."""

from collections.abc import AsyncIterator

import pytest
from ag_ui.core import (
    BaseEvent,
    RunAgentInput,
    RunErrorEvent,
    RunFinishedEvent,
    TextMessageChunkEvent,
)

from koel_tui.protocol import FINISH_REASON, AgentError, ChatState, Event, Message, TurnSettings
from koel_tui.session import KoelClient, Next, Redact, SessionDisposedError
from koel_tui.storage import MemoryStorage
from tests.session.helpers import ReleasingAgent, ScriptedAgent, begin, content, fail, say, start

ASKED = (Message("u", "user", "Sum it up."),)
SETTINGS = TurnSettings(max_output_tokens=9)


class Listener:
    """Keeps all events that an observer receives."""

    def __init__(self) -> None:
        self.received: list[object] = []

    def on_event(self, thread_id: str, event: Event) -> None:
        self.received.append(event)

    def on_state(self, thread_id: str, state: ChatState) -> None:
        self.received.append(state)


async def test_an_ephemeral_run_returns_its_text_and_stores_nothing() -> None:
    agent, storage, listener = ReleasingAgent(say("Hel", "lo")), MemoryStorage(), Listener()
    client = KoelClient(agent, storage, observers=[listener])
    assert await client.ask(ASKED, SETTINGS) == "Hello"
    (asked,) = agent.inputs
    assert [message.content for message in asked.messages] == ["Sum it up."]
    assert (asked.forwarded_props, agent.settings) == ({}, [SETTINGS])
    assert agent.released == [asked.thread_id]
    assert await storage.list_threads() == [] and not listener.received and not client.sessions


@pytest.mark.parametrize("reason", ["length", "end", None])
async def test_an_answer_has_the_reason_of_its_end(reason: str | None) -> None:
    result = None if reason is None else {FINISH_REASON: reason}

    async def ended(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        async for event in say("Hello")(run):
            is_last = isinstance(event, RunFinishedEvent)
            yield event.model_copy(update={"result": result}) if is_last else event

    answer = await KoelClient(ScriptedAgent(ended)).answer(ASKED, SETTINGS)
    assert (answer.role, answer.content) == ("assistant", "Hello")
    assert answer.finish_reason == reason


async def test_b11_a_question_goes_to_the_agent_it_names_and_to_no_other() -> None:
    default, own = ScriptedAgent(say("default")), ScriptedAgent(say("own"))
    client = KoelClient(default)
    assert await client.ask(ASKED, agent=own) == "own"
    assert not default.inputs
    assert await client.ask(ASKED) == "default"


async def test_b11_an_agent_that_offers_ephemeral_runs_is_asked_for_one() -> None:
    class Offering(ScriptedAgent):
        def __init__(self) -> None:
            super().__init__(say("kept"))
            self.without_traces = ScriptedAgent(say("not kept"))

        def ephemeral(self) -> ScriptedAgent:
            return self.without_traces

    agent = Offering()
    assert await KoelClient(agent).ask(ASKED) == "not kept"
    assert not agent.inputs


@pytest.mark.parametrize(("code", "expected"), [("refused", "refused"), (None, "internal")])
async def test_a_failed_run_raises(code: str | None, expected: str) -> None:
    async def failing(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        yield start("m")
        yield content("m", "Hel")
        yield RunErrorEvent(message="no room", code=code)

    agent = ReleasingAgent(failing)
    with pytest.raises(AgentError, match="no room") as raised:
        await KoelClient(agent).ask(ASKED)
    assert raised.value.code == expected
    assert len(agent.released) == 1


async def test_an_ephemeral_run_raises_the_error_of_its_agent() -> None:
    agent = ReleasingAgent(fail(OSError("gone"), "Hel"))
    with pytest.raises(OSError, match="gone"):
        await KoelClient(agent).ask(ASKED)
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

    assert await KoelClient(ReleasingAgent(chunked)).ask(ASKED) == "Hello"
    with pytest.raises(AgentError, match="order of events"):
        await KoelClient(ReleasingAgent(disordered)).ask(ASKED)


async def test_b11_interceptors_see_the_question_and_the_answer() -> None:
    questions: list[str] = []

    async def keep(
        run: RunAgentInput, settings: TurnSettings | None, following: Next
    ) -> AsyncIterator[Event]:
        questions.extend(str(message.content) for message in run.messages)
        async for event in following(run, settings):
            yield event

    agent = ScriptedAgent(say("A sek", "rit title"))
    client = KoelClient(agent, interceptors=[keep, Redact(["sekrit"])])
    assert await client.ask(ASKED) == "A [REDACTED] title"
    assert questions == ["Sum it up."]


async def test_nothing_is_asked_after_the_end() -> None:
    agent = ScriptedAgent(say("late"))
    client = KoelClient(agent)
    await client.dispose()
    with pytest.raises(SessionDisposedError):
        await client.ask(ASKED)
    assert not agent.inputs
