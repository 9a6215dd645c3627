"""Tests of titles and summaries: the agent of the thread generates them through the client."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from koel_tui.agents import LocalAgent, ModelRouter, Snapshots
from koel_tui.conversation.backend import Backend
from koel_tui.engine import Engine, EngineHost, ModelSpec
from koel_tui.protocol import Sampling, TurnSettings
from koel_tui.session import Interceptor, KoelClient, Redact
from koel_tui.storage import MemoryStorage
from tests.conversation.test_background_jobs import next_turn
from tests.ui.scripted import ScriptedAgent, Turn
from tests.ui.window import messages, opened

DEADLINE_S = 300.0


def titled(
    agent: ScriptedAgent, storage: MemoryStorage, *interceptors: Interceptor
) -> Callable[[], Backend]:
    def connect() -> Backend:
        client = KoelClient(agent, storage, interceptors=interceptors)
        return Backend(client, storage, agent, titles=True)

    return connect


def answer(turn: Turn, text: str) -> None:
    turn.write(text)
    turn.measure(model="Scripted-1B")
    turn.finish()


async def test_b11_the_title_and_the_summary_of_a_thread_come_from_its_own_model_and_adapter() -> (
    None
):
    agent, storage = ScriptedAgent(), MemoryStorage()
    await storage.save("t", messages(0))
    await storage.update_meta("t", wanted_model="/models/own.gguf", lora="/adapters/own.gguf")
    async with opened(agent=agent, thread="t", connect=titled(agent, storage)) as window:
        await window.connected()
        answer(await window.ask("Name a tree"), "An oak.")
        answer(await next_turn(window, 2), "Old trees")
        await window.has_tabs("1 Old trees")
        await window.press("alt+shift+s")
        answer(await next_turn(window, 3), "We named a tree.")
        await window.has_tabs("1 Old trees", "2 New thread")
    assert [each.ephemeral for each in agent.turns] == [False, True, True]
    for turn in agent.turns:
        assert (turn.model, turn.lora) == ("/models/own.gguf", "/adapters/own.gguf")


@pytest.mark.parametrize(("template", "used"), [("chatml", "chatml"), ("none", None)])
async def test_a_title_is_asked_for_with_the_chat_template_of_the_thread(
    template: str, used: str | None
) -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    await storage.save("t", messages(0))
    await storage.update_meta("t", chat_template=template)
    async with opened(agent=agent, thread="t", connect=titled(agent, storage)) as window:
        await window.connected()
        answer(await window.ask("Name a tree"), "An oak.")
        job = await next_turn(window, 2)
    assert (agent.turns[0].settings.chat_template, job.settings.chat_template) == (template, used)


async def test_b11_a_title_passes_through_the_interceptors_of_the_client() -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    connect = titled(agent, storage, Redact(["sekrit"]))
    async with opened(agent=agent, connect=connect) as window:
        await window.connected()
        answer(await window.ask("Name a tree"), "The sekrit oak.")
        job = await next_turn(window, 2)
        assert "The [REDACTED] oak." in str(job.prompt)
        job.write("My sek")
        answer(job, "rit trees")
        await window.has_tabs("1 My [REDACTED] trees")
    (thread,) = await storage.list_threads()
    assert (await storage.meta(thread))["title"] == "My [REDACTED] trees"


async def test_b11_a_title_that_fails_leaves_its_thread_as_it_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    async with opened(agent=agent, connect=titled(agent, storage)) as window:
        await window.connected()
        answer(await window.ask("Name a tree"), "An oak.")
        job = await next_turn(window, 2)
        with caplog.at_level(logging.WARNING):
            job.fail("the model is gone")
            await window.until(lambda: "the model is gone" in caplog.text, "a line in the log")
        await window.until(lambda: "finding a title" not in window.status)
        await window.reads("An oak.")
        assert "the model is gone" not in window.screen
        answer(await window.ask("Why?"), "It is old.")
        await window.reads("It is old.")
    (thread,) = await storage.list_threads()
    state = await storage.load(thread)
    assert state is not None and state.error is None
    assert [each.content for each in state.messages] == [
        "Name a tree", "An oak.", "Why?", "It is old."
    ]  # fmt: skip


async def test_b11_a_send_stops_the_title_before_it_is_answered() -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    async with opened(agent=agent, connect=titled(agent, storage)) as window:
        await window.connected()
        answer(await window.ask("Name a tree"), "An oak.")
        job = await next_turn(window, 2)
        second = await window.ask("Why?")
        second.write("It is")
        await window.until(job.closed.is_set, "the job stopped")
        await window.reads("It is")
        assert len(agent.turns) == 3  # the job does not restart during the answer
        second.finish()
        answer(await next_turn(window, 4), "Old trees")
        await window.has_tabs("1 Old trees")


@pytest.fixture
def engines() -> list[Engine]:
    return []


@pytest.fixture
def at_session_limit(
    starter_path: Path, tmp_path: Path, engines: list[Engine]
) -> Callable[[], Backend]:
    """Return a function that connects a window to the starter model, limited to one session."""

    async def load(progress: Callable[[float], None]) -> Engine:
        spec = ModelSpec(starter_path, context_tokens=1024, threads=1)
        engines.append(await EngineHost.load(spec, max_sessions=1, on_progress=progress))
        return engines[-1]

    def connect() -> Backend:
        defaults = TurnSettings(sampling=Sampling(temperature=0), max_output_tokens=8)
        router = ModelRouter(lambda _: LocalAgent(load, defaults, Snapshots(tmp_path / "kv")))
        storage = MemoryStorage()
        return Backend(KoelClient(router, storage), storage, router, defaults=defaults, titles=True)

    return connect


async def holds(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def test_b11_with_one_session_a_thread_gets_its_title_and_its_summary(
    at_session_limit: Callable[[], Backend], engines: list[Engine], caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(connect=at_session_limit) as window:
        await holds(lambda: "ctx" in window.status)
        await window.type("Name three trees of the north")
        await window.press("enter")
        await holds(lambda: bool(window.app._workspace.active.meta.title))
        assert [each.name for each in engines[0].sessions] == [
            window.app._workspace.active.thread_id
        ]
        await window.press("alt+shift+s")
        await holds(lambda: "What we talked about before" in window.prompt.text)
    assert "Not done in the background" not in caplog.text and len(engines) == 1
