"""Background jobs of the model: titles and summaries, which never delay a chat."""

import asyncio
from collections.abc import Callable

import pytest

from koel_tui.conversation.backend import Backend
from koel_tui.conversation.background_jobs import BackgroundJobs, Job
from koel_tui.protocol import TurnSettings
from koel_tui.session import KoelClient
from koel_tui.storage import MemoryStorage
from tests.ui.scripted import ScriptedAgent, Turn
from tests.ui.window import Window, messages, opened


class Work:
    """A job that reports its start, and ends when the test allows it."""

    def __init__(self, words: str, error: Exception | None = None) -> None:
        self.begun = 0
        self.done = 0
        self.may_end = asyncio.Event()
        self.job = Job(words, self._work)
        self._error = error

    async def _work(self, backend: Backend) -> None:
        self.begun += 1
        await self.may_end.wait()
        if self._error is not None:
            raise self._error
        self.done += 1


def backend_of(agent: ScriptedAgent) -> Backend:
    storage = MemoryStorage()
    return Backend(KoelClient(agent, storage=storage), storage, agent)


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_jobs_wait_for_the_model_and_run_one_after_the_other() -> None:
    said: list[str] = []
    background = BackgroundJobs(lambda: said.append(background.status_text))
    first, second = Work("first"), Work("second")
    background.add(first.job)
    background.add(second.job)
    await settled()
    assert not first.begun and background.status_text == ""
    background.connect(backend_of(ScriptedAgent()))
    await settled()
    assert first.begun and not second.begun and background.status_text == "first"
    first.may_end.set()
    second.may_end.set()
    await settled()
    assert (first.done, second.done) == (1, 1)
    assert said == ["first", "", "second", ""]
    await background.close()


async def test_a_job_is_cancelled_for_a_chat_and_restarts_when_the_model_is_idle() -> None:
    background = BackgroundJobs(lambda: None)
    background.connect(backend_of(ScriptedAgent()))
    work, later = Work("work"), Work("later")
    background.add(work.job)
    background.add(later.job)
    await settled()
    background.pause_while_busy(is_chat_busy=True)
    await settled()
    assert background.status_text == "" and work.begun == 1
    work.may_end.set()
    background.pause_while_busy(is_chat_busy=True)
    await settled()
    assert work.begun == 1
    background.pause_while_busy(is_chat_busy=False)
    await settled()
    assert (work.begun, work.done, later.begun) == (2, 1, 1)
    await background.close()
    await settled()
    assert later.done == 0


async def test_a_job_that_fails_is_not_in_the_way_of_the_next() -> None:
    background = BackgroundJobs(lambda: None)
    background.connect(backend_of(ScriptedAgent()))
    bad, good = Work("bad", RuntimeError("no")), Work("good")
    for work in (bad, good):
        work.may_end.set()
        background.add(work.job)
    await settled()
    assert good.done == 1
    await background.close()


async def test_a_title_that_was_cut_at_the_limit_is_not_used() -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    async with opened(agent=agent, connect=titled(agent, storage)) as window:
        await window.connected()
        turn = await window.ask("Name the oldest of all trees that grow in my country")
        turn.write("An oak.")
        turn.measure(model="Scripted-1B")
        turn.finish()
        job = await next_turn(window, 2)
        job.write("Oldest trees of")
        job.finish(reason="length")
        await window.until(lambda: bool(window.app._workspace.active.meta.title), "a title")
        assert window.app._workspace.active.meta.title == "Name the oldest of all trees that grow…"


async def test_a_thread_whose_title_does_not_qualify_is_named_after_its_question() -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    async with opened(agent=agent, connect=titled(agent, storage)) as window:
        await window.connected()
        turn = await window.ask("Name the oldest of all trees that grow in my country")
        turn.write("An oak.")
        turn.measure(model="Scripted-1B")
        turn.finish()
        job = await next_turn(window, 2)
        job.write("An oak")
        job.finish()
        await window.until(lambda: bool(window.app._workspace.active.meta.title), "a title")
        await window.has_tabs("1 Name the oldest of all…")
    (thread,) = await storage.list_threads()
    assert (await storage.meta(thread))["title"] == "Name the oldest of all trees that grow…"


def titled(agent: ScriptedAgent, storage: MemoryStorage) -> Callable[[], Backend]:
    return lambda: Backend(KoelClient(agent, storage=storage), storage, agent, titles=True)


async def next_turn(window: Window, count: int) -> Turn:
    await window.until(lambda: len(window.agent.turns) >= count, "a run")
    return window.agent.turns[count - 1]


async def test_a_thread_gets_a_title_after_its_first_answer_and_the_title_delays_no_turn() -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    async with opened(agent=agent, connect=titled(agent, storage)) as window:
        await window.connected()
        turn = await window.ask("Name a tree")
        turn.write("An oak.")
        turn.measure(model="Scripted-1B")
        turn.finish()
        job = await next_turn(window, 2)
        assert job.ephemeral and not turn.ephemeral
        await window.until(lambda: "finding a title" in window.status)
        assert "Name a tree" in str(job.prompt) and "An oak." in str(job.prompt)
        second = await window.ask("Why?")
        await window.until(job.closed.is_set, "the job stopped")
        assert second.prompt == "Why?"
        second.finish()
        again = await next_turn(window, 4)
        again.write('"Old trees"')
        again.finish()
        await window.has_tabs("1 Old trees")
        await window.until(lambda: "finding" not in window.status)
    (thread,) = await storage.list_threads()
    assert (await storage.meta(thread))["title"] == "Old trees"
    state = await storage.load(thread)
    assert state is not None and "Old trees" not in str(state.messages)


async def test_a_title_set_by_the_user_is_not_replaced() -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    async with opened(agent=agent, connect=titled(agent, storage)) as window:
        await window.connected()
        turn = await window.ask("Name a tree")
        turn.write("An oak.")
        turn.measure(model="Scripted-1B")
        turn.finish()
        job = await next_turn(window, 2)
        await window.press("f2")
        await window.sees("This thread")
        await window.type("Mine")
        await window.press("enter")
        await window.has_tabs("1 Mine")
        job.write("Old trees")
        job.finish()
        await window.until(lambda: "finding" not in window.status)
        assert window.tabs == ["1 Mine"]


async def test_a_new_tab_opens_with_a_summary_in_its_prompt() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(4))
    await storage.update_meta("t", system="Be kind.")
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 3")
        await window.press("alt+shift+s")
        job = await next_turn(window, 1)
        assert job.ephemeral
        assert [each.content for each in job.asked.messages[:4]] == [
            f"message {n}" for n in range(4)
        ]
        assert job.settings == TurnSettings(
            system="Be kind.", max_output_tokens=400, thinking=False
        )
        job.write("We counted.")
        job.finish()
        await window.has_tabs("1 message 0", "2 New thread")
        await window.prompts("What we talked about before, in short:\n\nWe counted.")
        turn = await window.ask(" Go on.")
        assert turn.settings == TurnSettings(system="Be kind.")
        turn.finish()


async def test_report_15_a_summary_that_was_cut_does_not_contain_the_next_text() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(4))
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 3")
        await window.press("alt+shift+s")
        job = await next_turn(window, 1)
        job.write("Code:\n```\nprint(1)")
        job.finish()
        await window.until(lambda: window.prompt.text.endswith("Code:\n```\nprint(1)\n```"))


async def test_a_summary_does_not_replace_a_typed_prompt() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(4))
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 3")
        await window.press("alt+shift+s")
        job = await next_turn(window, 1)
        await window.type("my draft")
        job.write("We counted.")
        job.finish()
        await window.has_tabs("1 message 0", "2 New thread ●")
        await window.prompts("my draft")
        await window.press("f6")
        await window.prompts("What we talked about before, in short:\n\nWe counted.")


async def test_a_summary_requires_messages() -> None:
    async with opened() as window:
        await window.press("alt+shift+s")
        await window.tells("no messages to summarise yet")


async def test_the_window_says_when_it_is_nearly_full() -> None:
    async with opened() as window:
        turn = await window.ask("Name a tree")
        turn.measure(model="Scripted-1B", prompt_tokens=7000, output_tokens=300,
                     context_tokens=8192)  # fmt: skip
        turn.finish()
        await window.reads("The context is nearly full")


async def test_the_cleanup_of_a_cancelled_job_is_not_interrupted() -> None:
    ended = asyncio.Event()

    async def work(backend: Backend) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(20):
                await asyncio.sleep(0)
            ended.set()

    background = BackgroundJobs(lambda: None)
    background.connect(backend_of(ScriptedAgent()))
    background.add(Job("work", work))
    await settled()
    for _ in range(30):
        background.pause_while_busy(is_chat_busy=True)
        await asyncio.sleep(0)
    assert ended.is_set()
    await background.close()


@pytest.mark.parametrize("fails", [True, False])
async def test_a_summary_that_does_not_come_is_reported(fails: bool) -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(4))
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 3")
        await window.press("alt+shift+s")
        job = await next_turn(window, 1)
        if fails:
            job.fail("no luck")
        else:
            job.write(" ")
            job.finish()
        await window.sees("returned no summary of")
        assert len(window.tabs) == 1


async def test_a_summary_leaves_the_settings_of_an_empty_tab() -> None:
    storage = MemoryStorage()
    await storage.save("t", messages(4))
    async with opened(storage=storage, thread="t") as window:
        await window.reads("message 3")
        await window.press("alt+shift+s")
        job = await next_turn(window, 1)
        await window.press("ctrl+n", "f2")
        await window.sees("This thread")
        await window.type("Mine")
        await window.press("enter")
        await window.has_tabs("1 message 0", "2 Mine")
        job.write("We counted.")
        job.finish()
        await window.has_tabs("1 message 0", "2 Mine", "3 New thread ●")
