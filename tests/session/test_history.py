"""Changes of the history: regenerated and continued answers, edited messages, branches."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from ag_ui.core import BaseEvent, RunAgentInput

from koel_tui.protocol import ChatState, Message, RunPhase, TurnSettings
from koel_tui.session import (
    ChatSession,
    KoelClient,
    NothingToContinueError,
    RunInProgressError,
    ThreadSettings,
    UnknownMessageError,
)
from koel_tui.storage import MemoryStorage, StorageError
from tests.session.helpers import (
    FailingStorage,
    ScriptedAgent,
    begin,
    content,
    end,
    fail,
    finish,
    said,
    say,
    start,
)

TALK = ChatState(
    messages=(
        Message("u1", "user", "Name a tree."),
        Message("a1", "assistant", "Oak."),
        Message("u2", "user", "Another."),
        Message("a2", "assistant", "Elm."),
    )
)


def talk(agent: ScriptedAgent, storage: MemoryStorage | None = None) -> ChatSession:
    return KoelClient(agent, storage=storage).new_session("t", initial=TALK)


async def test_session_case_25_regenerate_answers_the_last_question_again() -> None:
    agent = ScriptedAgent(say("Ash."))
    session = talk(agent)
    await session.regenerate()
    assert session.state.messages[:3] == TALK.messages[:3]
    assert said(session.state)[3:] == [("assistant", "Ash.")]
    first_run = agent.inputs[0].run_id
    await session.regenerate()
    assert len(session.state.messages) == 4
    assert [message.id for message in agent.inputs[1].messages] == ["u1", "a1", "u2"]
    assert agent.inputs[1].run_id != first_run


async def test_regenerated_and_edited_messages_stay_available_as_branches() -> None:
    storage = MemoryStorage()
    session = talk(ScriptedAgent(say("Ash."), say("Fir."), say("Elm.")), storage)
    before = TALK.messages
    await session.regenerate()
    await session.edit("u1", "Which conifer?")
    assert said(session.state) == [("user", "Which conifer?"), ("assistant", "Fir.")]
    session.switch(None)
    assert session.state.messages[:3] == before[:3]
    assert said(session.state)[3:] == [("assistant", "Ash.")]
    session.switch("u2", -1)
    assert session.state.messages == before
    async with asyncio.timeout(5):
        while session.dirty:
            await asyncio.sleep(0)
    assert await storage.load("t") == session.state
    await session.send("And then?")
    assert said(session.state)[-3:] == [
        (before[-1].role, before[-1].content), ("user", "And then?"), ("assistant", "Elm."),
    ]  # fmt: skip


async def test_regenerate_without_a_question_does_nothing() -> None:
    agent = ScriptedAgent(say("x"))
    session = KoelClient(agent).new_session()
    before = session.state
    await session.regenerate()
    assert session.state is before and agent.inputs == []


async def test_edit_replaces_a_message_and_the_following_messages() -> None:
    session = talk(ScriptedAgent(say("Fir.")))
    await session.edit("u2", "A conifer.")
    assert said(session.state)[1:] == [
        ("assistant", "Oak."), ("user", "A conifer."), ("assistant", "Fir."),
    ]  # fmt: skip
    assert session.state.messages[2].id != "u2"
    with pytest.raises(UnknownMessageError, match="u2"):
        await session.edit("u2", "again")


async def test_nothing_is_changed_while_a_run_is_in_flight() -> None:
    session = talk(ScriptedAgent(say("x")))
    sending = session.send("first")
    attempts: list[Callable[[], Awaitable[None]]] = [
        session.regenerate,
        session.continue_answer,
        lambda: session.edit("u1", "x"),
    ]
    for attempt in attempts:
        with pytest.raises(RunInProgressError):
            await attempt()
    with pytest.raises(RunInProgressError):
        session.switch("u1")
    await sending
    assert said(session.state)[-1] == ("assistant", "x")


async def test_a_branch_is_a_separate_thread_that_records_its_parent() -> None:
    storage = MemoryStorage()
    session = talk(ScriptedAgent(say("Yew.")), storage)
    branch = await session.branch("a1")
    assert branch.state.messages == TALK.messages[:2]
    assert (await storage.meta(branch.thread_id))["parent"] == "t"
    await branch.send("One more.")
    assert session.state == TALK
    assert await storage.load(branch.thread_id) == branch.state
    with pytest.raises(UnknownMessageError):
        await session.branch("nobody")


async def test_b26_a_branch_has_the_settings_of_its_thread_and_not_its_title() -> None:
    storage = MemoryStorage()
    session = talk(ScriptedAgent(say("Ash.")), storage)
    settings = ThreadSettings(
        system="You are a pirate.", sampling={"temperature": 0.1}, thinking=True, model="qwen"
    )
    await session.describe(title="Trees", **settings.meta)
    branch = await session.branch("a1")
    meta = await storage.meta(branch.thread_id)
    assert ThreadSettings.of_meta(meta) == settings
    assert "title" not in meta
    assert meta["parent"] == "t"


async def test_b26_a_branch_is_answered_by_the_agent_of_its_thread_with_its_settings() -> None:
    own, other = ScriptedAgent(say("Ash.")), ScriptedAgent(say("Fir."))
    pirate = TurnSettings(system="You are a pirate.")
    session = KoelClient(other).new_session("t", TALK, settings=pirate, agent=own)
    branch = await session.branch("a1")
    await branch.send("One more.")
    assert said(branch.state)[-1] == ("assistant", "Ash.")
    assert own.settings == [pirate]
    assert other.inputs == []


async def test_a_branch_of_a_thread_that_failed_has_not_failed() -> None:
    storage = MemoryStorage()
    session = talk(ScriptedAgent(fail(RuntimeError("no"))), storage)
    await session.send("And?")
    assert session.state.phase is RunPhase.ERROR
    branch = await session.branch("a1")
    assert (branch.state.phase, branch.state.error) == (RunPhase.IDLE, None)
    assert await storage.load(branch.thread_id) == branch.state


async def test_a_branch_that_cannot_be_saved_is_not_created() -> None:
    storage = FailingStorage()
    storage.broken = True
    client = KoelClient(ScriptedAgent(say("Yew.")), storage=storage)
    session = client.new_session("t", initial=TALK)
    with pytest.raises(StorageError, match="full"):
        await session.branch("a1")
    assert client.sessions == (session,)


def half() -> ChatState:
    return ChatState(
        messages=(
            Message("u", "user", "Tell."),
            Message("a", "assistant", "Once upon", interrupted=True),
        )
    )


async def going_on(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
    """Continue the last message, as the local agent does."""
    last = run.messages[-1]
    assert last.role == "assistant"
    yield begin(run)
    yield start(last.id)
    yield content(last.id, " a time.")
    yield end(last.id)
    yield finish(run)


async def test_an_interrupted_answer_is_continued_in_its_own_message() -> None:
    session = KoelClient(ScriptedAgent(going_on)).new_session(initial=half())
    await session.continue_answer()
    assert said(session.state) == [("user", "Tell."), ("assistant", "Once upon a time.")]
    answer = session.state.messages[1]
    assert (answer.id, answer.interrupted) == ("a", False)
    with pytest.raises(NothingToContinueError):
        await session.continue_answer()


async def test_a_partial_answer_is_unchanged_if_its_continuation_fails() -> None:
    async def failing(run: RunAgentInput) -> AsyncIterator[BaseEvent]:
        yield begin(run)
        raise OSError("gone")

    session = KoelClient(ScriptedAgent(failing)).new_session(initial=half())
    await session.continue_answer()
    assert session.state.messages == half().messages
    assert session.state.phase is RunPhase.ERROR


async def test_the_shared_state_is_merged_sent_and_not_lost_in_a_run() -> None:
    agent = ScriptedAgent(say("x"))
    session = KoelClient(agent).new_session(initial=ChatState(state={"a": 1, "b": {"c": 1}}))
    states = session.states()
    session.update_state({"b": 2})
    assert (await anext(states)).state == {"a": 1, "b": 2}
    sending = session.send("hi")
    session.update_state({"d": 3})
    await sending
    assert session.state.state == {"a": 1, "b": 2, "d": 3}
    await session.send("again")
    assert agent.inputs[1].state == {"a": 1, "b": 2, "d": 3}
