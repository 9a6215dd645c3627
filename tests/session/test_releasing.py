"""Agents and storages free the data of a thread when its session is closed (B2, B35)."""

import asyncio
from pathlib import Path

import pytest

from koel_tui.session import KoelClient
from koel_tui.session import run as run_module
from koel_tui.storage import JsonFileStorage
from tests.session.helpers import ReleasingAgent, ScriptedAgent, eventually, say


@pytest.fixture
def agents() -> tuple[ReleasingAgent, ReleasingAgent]:
    return ReleasingAgent(say("one")), ReleasingAgent(say("two"))


async def test_b2_a_thread_reopened_with_another_agent_is_released_by_the_first(
    agents: tuple[ReleasingAgent, ReleasingAgent],
) -> None:
    first, second = agents
    client = KoelClient(first)
    before = client.new_session("t")
    await before.send("hi")
    before.dispose()
    client.new_session("t", before.state, agent=second)
    await before.dispose()
    assert (first.released, second.released) == (["t"], [])
    await client.dispose()
    assert (first.released, second.released) == (["t"], ["t"])


async def test_b2_every_agent_that_a_session_asked_is_released_once(
    agents: tuple[ReleasingAgent, ReleasingAgent],
) -> None:
    first, second = agents
    client = KoelClient(first)
    session = client.new_session("t")
    for agent in (first, first, second):
        session.agent = agent
        await session.send("hi")
    await client.dispose()
    assert (first.released, second.released) == (["t"], ["t"])


@pytest.mark.parametrize("changed", [False, True])
async def test_b2_an_unused_session_releases_the_context_of_an_earlier_session(
    agents: tuple[ReleasingAgent, ReleasingAgent], changed: bool
) -> None:
    first, second = agents
    client = KoelClient(first)
    before = client.new_session("t")
    await before.send("hi")
    before.dispose()
    after = client.new_session("t", before.state)
    await before.dispose()
    assert first.released == [], "the newer session may continue the context"
    if changed:
        after.agent = second
    await after.dispose()
    assert first.released == ["t"]


async def test_b2_an_agent_that_never_releases_does_not_hang_dispose(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "RELEASE_TIMEOUT", 0.01)

    class Hanging(ScriptedAgent):
        async def release(self, thread_id: str) -> None:
            await asyncio.Event().wait()

    client = KoelClient(Hanging(say("ok")))
    await client.new_session("t").send("hi")
    async with asyncio.timeout(20):
        await client.dispose()


async def test_b2_an_agent_that_fails_to_release_does_not_fail_dispose() -> None:
    class Failing(ScriptedAgent):
        async def release(self, thread_id: str) -> None:
            raise LookupError(thread_id)

    client = KoelClient(Failing(say("ok")))
    session = client.new_session("t")
    await session.send("hi")
    await session.dispose()
    assert session.closed
    await client.dispose()


def test_b35_a_loop_that_ends_while_a_session_is_closed_leaves_nothing_held(
    tmp_path: Path,
) -> None:
    agent, storage = ReleasingAgent(say("ok")), JsonFileStorage(tmp_path)
    client = KoelClient(agent, storage)

    async def leave() -> None:
        session = client.new_session("t")
        await session.send("hi")
        await eventually(lambda: not session.dirty)
        session.dispose()
        await asyncio.sleep(0)  # the close has begun

    asyncio.run(leave())
    assert agent.released == ["t"]
    access = asyncio.run(JsonFileStorage(tmp_path).open("t"))
    assert access.writable
