"""Tests of an engine that fails, hangs or dies: an error row is shown, other threads continue."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from koel_tui.agents import LocalAgent
from koel_tui.conversation.backend import Backend
from koel_tui.conversation.notices import notices_for
from koel_tui.engine import ChatMessage, Engine, ModelSpec
from koel_tui.engine.wire_messages import Load, OpenSession, StartTurn
from koel_tui.protocol import encode_state
from koel_tui.session import KoelClient, ThreadSettings
from koel_tui.storage import MemoryStorage
from tests.engine.scripted import ScriptedLink
from tests.hostile_summary import Tally
from tests.ui.window import Window, opened


class Native:
    """A scripted link to a runner, behind the real engine and the real local agent."""

    def __init__(self) -> None:
        self.link = ScriptedLink()
        self.storage = MemoryStorage()
        self.agent = LocalAgent(self._load)

    async def _load(self, progress: Callable[[float], None]) -> Engine:
        engine = Engine(self.link, ModelSpec(Path("none.gguf")))
        await engine.start()
        return engine

    def backend(self) -> Backend:
        return Backend(KoelClient(self.agent, storage=self.storage), self.storage, self.agent)

    @property
    def last(self) -> int:
        return self.link.started[-1]

    def asked(self, session: int) -> tuple[ChatMessage, ...]:
        """The messages of the last turn of a session."""
        turns = [each for each in self.link.commands if isinstance(each, StartTurn)]
        return next(each.messages for each in reversed(turns) if each.session == session)


async def send(window: Window, text: str) -> None:
    await window.type(text)
    await window.press("enter")


async def begun(window: Window, native: Native, count: int) -> int:
    """Wait until `count` turns have started, and return the session of the last one."""
    await window.until(lambda: len(native.link.started) == count, f"{count} turns")
    return native.last


@pytest.mark.parametrize("said", [0, 1, 3])
async def test_a_failed_turn_shows_its_error_and_the_next_tab_runs(said: int, tally: Tally) -> None:
    native = Native()
    async with opened(connect=native.backend) as window:
        await window.connected()
        await send(window, "First")
        session = await begun(window, native, 1)
        await window.press("ctrl+n")
        await window.until(lambda: len(window.tabs) == 2)
        await send(window, "Second")
        native.link.say(session, *["word "] * said)
        native.link.fail(session, "llama_decode failed with code -3. Send again.")
        second = await begun(window, native, 2)
        native.link.say(second, "Here I am.")
        native.link.end(second)
        await window.reads("Here I am.")
        await window.press("alt+1")
        await window.reads("✗ llama_decode failed with code -3. Send again.")
        await window.reads("Retry (alt+r)")
        if said:
            await window.reads("word word"[: 5 * said - 1])
        await window.press("alt+r")
        again = await begun(window, native, 3)
        native.link.end(again)
        await window.misses("llama_decode")
    threads = [each async for each in states(native.storage)]
    assert len(threads) == 2 and not any("llama_decode" in each for each in threads)
    tally("engine failure", tried=1)


async def states(storage: MemoryStorage) -> AsyncIterator[str]:
    """Yield the saved state of each thread; it never contains an error."""
    for thread in await storage.list_threads():
        state = await storage.load(thread)
        assert state is not None and state.error is None
        yield encode_state(state)


async def test_an_engine_crash_loses_one_answer(tally: Tally) -> None:
    native = Native()
    async with opened(connect=native.backend) as window:
        await window.connected()
        await send(window, "First")
        first = await begun(window, native, 1)
        await send(window, "Queued")
        await window.sees("queued: Queued")
        await window.press("ctrl+n")
        await send(window, "Elsewhere")
        await window.sees("queued: 1 ahead")
        native.link.say(first, "half of ")
        native.link.crash()
        elsewhere = await begun(window, native, 2)
        native.link.say(elsewhere, "Here I am.")
        native.link.end(elsewhere)
        await window.reads("Here I am.")
        await window.press("alt+1")
        await window.reads("half of")
        await window.reads("✗ The previous answer failed. The queued message was sent.")
        queued = await begun(window, native, 3)
        native.link.say(queued, "And I.")
        native.link.end(queued)
        await window.reads("And I.")
        assert window.prompt.text == ""
        assert native.link.opened == 2
    tally("engine crash", tried=3)


async def test_an_engine_that_keeps_crashing_reaches_the_restart_limit(
    tally: Tally,
) -> None:
    native = Native()
    async with opened(connect=native.backend) as window:
        await window.connected()
        for number in range(6):
            await send(window, f"Question {number}")
        for number in range(4):
            await begun(window, native, number + 1)
            native.link.crash()
        await window.reads("✗ The engine was restarted 3 times within 60 seconds")
        await window.reads("Choose a model (alt+shift+m)")
        await window.reads("or try again in")
        # Four turns ended with the crashes, the fifth was refused, and the sixth question is in
        # the prompt.
        await window.prompts("Question 5")
        assert (native.link.opened, len(native.link.started)) == (4, 4)
    tally("engine crash", tried=4)


async def test_a_thread_can_choose_a_built_in_template_after_an_error(tally: Tally) -> None:
    native = Native()
    async with opened(connect=native.backend) as window:
        await window.connected()
        await send(window, "First")
        session = await begun(window, native, 1)
        native.link.fail(session, "The chat template of x cannot be read.", "ChatTemplateError")
        await window.reads("✗ The chat template of x cannot be read.")
        offer = "Answer with the chat template chatml"
        await window.sees("up restores your message")
        await window.pilot.pause()  # the rows are laid out
        row = next(at for at, line in enumerate(window.lines) if offer in line)
        assert "chatml · f2 sets another template" in window.lines[row]
        await window.pilot.click(offset=(10, row))
        native.link.end(await begun(window, native, 2))
        await window.misses(offer)
        assert [each.settings.chat_template for each in turns(native)] == [None, "chatml"]
        await send(window, "Second")
        await begun(window, native, 3)
        assert turns(native)[-1].settings.chat_template == "chatml"  # the thread keeps it
        assert len(native.link.sent(OpenSession)) == 1
    (thread,) = await native.storage.list_threads()
    assert (await native.storage.meta(thread))["chat_template"] == "chatml"
    tally("hostile chat template", tried=1)


async def test_b20_a_thread_is_completed_without_a_template_when_chosen() -> None:
    native = Native()
    async with opened(connect=native.backend) as window:
        await window.connected()
        await send(window, "Once")
        session = await begun(window, native, 1)
        native.link.fail(session, "x has no chat template.", "ChatTemplateError")
        offer = "Complete the text without a chat template"
        await window.reads(offer)
        row = next(at for at, line in enumerate(window.lines) if offer in line)
        await window.pilot.click(offset=(10, row))
        native.link.end(await begun(window, native, 2))
        await window.misses(offer)
        assert turns(native)[-1].settings.chat_template == "none"
    (thread,) = await native.storage.list_threads()
    assert (await native.storage.meta(thread))["chat_template"] == "none"


@pytest.mark.parametrize(
    ("fitting", "model", "offered"),
    [
        ("gemma", None, "gemma"),
        ("", None, "chatml"),
        ("x') or app.quit('", None, "chatml"),
        ("gemma", "other.gguf", "chatml"),  # the template fits the program's model only
    ],
)
async def test_b20_the_built_in_template_that_fits_the_model_is_offered(
    fitting: str, model: str | None, offered: str
) -> None:
    native = Native()
    native.link.card = replace(native.link.card, fitting_template=fitting)
    async with opened(connect=native.backend) as window:
        await window.connected()
        await window.until(lambda: bool(window.app._runtime.model_name), "a model")
        conversation = window.app._workspace.active
        await conversation.configure("", ThreadSettings(model=model))
        await send(window, "Once")
        session = await begun(window, native, 1)
        native.link.fail(session, "x has no chat template.", "ChatTemplateError")
        await window.reads(f"Answer with the chat template {offered} ·")
        program = window.app._runtime.program_model
        row = next(each for each in notices_for(conversation, program) if offered in each.text)
        assert row.template == offered


def turns(native: Native) -> list[StartTurn]:
    return [each for each in native.link.commands if isinstance(each, StartTurn)]


async def test_a_stopped_tab_is_free_while_the_engine_hangs(tally: Tally) -> None:
    native = Native()
    native.link.deaf = True
    async with opened(connect=native.backend) as window:
        await window.connected()
        await send(window, "First")
        await begun(window, native, 1)
        await window.press("escape")
        await window.sees("answer was stopped before it began")
        await send(window, "Again")
        await begun(window, native, 2)
        native.link.crash()
        await window.reads("✗ the engine process ended")
    tally("engine failure", tried=1)


async def test_late_deltas_of_a_stopped_turn_are_ignored(tally: Tally) -> None:
    native = Native()
    native.link.deaf = True
    async with opened(connect=native.backend) as window:
        await window.connected()
        await send(window, "First")
        first = await begun(window, native, 1)
        native.link.say(first, "kept ")
        await window.reads("kept")
        await window.press("escape")
        await window.reads("alt+g continues the answer.")
        native.link.say(first, "too late")
        native.link.end(first)
        await send(window, "Second")
        second = await begun(window, native, 2)
        native.link.say(second, "fine")
        native.link.end(second)
        await window.reads("fine")
        assert "too late" not in window.view
    assert not any(["too late" in each async for each in states(native.storage)])
    tally("engine failure", tried=1)


async def test_an_empty_answer_is_reported(tally: Tally) -> None:
    native = Native()
    async with opened(connect=native.backend) as window:
        await window.connected()
        await send(window, "First")
        native.link.end(await begun(window, native, 1))
        await window.reads("The model returned an empty answer. ctrl+r asks again.")
        await window.press("ctrl+r")
        again = await begun(window, native, 2)
        await window.misses("an empty answer")
        native.link.say(again, "fine")
        native.link.end(again, tokens=1)
        await window.reads("fine")
        assert "an empty answer" not in window.screen
    tally("engine failure", tried=1)


@pytest.mark.parametrize("when", ["before", "queued", "begun", "writing"])
@pytest.mark.parametrize("how", ["once", "twice", "close", "send"])
async def test_a_turn_can_be_stopped_in_every_phase(when: str, how: str, tally: Tally) -> None:
    native = Native()
    async with opened(connect=native.backend) as window:
        await window.connected()
        ahead = 0
        if when == "queued":
            await send(window, "Ahead")
            ahead = await begun(window, native, 1)
            await window.press("ctrl+n")
        await send(window, "Stop me")
        if when == "queued":
            await window.sees("queued: 1 ahead")
        elif when != "before":
            session = await begun(window, native, 1)
            if when == "writing":
                native.link.say(session, "half of ")
                await window.reads("half of")
        keys = {"once": ["escape"], "twice": ["escape"] * 2, "send": ["escape"],
                "close": ["escape", "ctrl+f4"]}  # fmt: skip
        await window.press(*keys[how])
        if ahead:
            native.link.end(ahead)
        if when == "writing" and how != "close":
            await window.reads("half of")
        await window.press("ctrl+n")
        before = len(native.link.started)
        await send(window, "And now?")
        await window.until(lambda: len(native.link.started) > before, "the next turn")
        native.link.say(native.last, "Fine.")
        native.link.end(native.last)
        await window.reads("Fine.")
        assert native.link.turns == {} or ahead
    await asyncio.sleep(0)
    kept = [each async for each in states(native.storage)]
    assert not any("half of" in each for each in kept) or when == "writing"
    assert when != "writing" or any("half of" in each for each in kept)
    tally("cancellation", tried=1)


async def test_a_crash_during_the_load_fails_one_answer(tally: Tally) -> None:
    native = Native()
    native.link.hold_load = True
    async with opened(connect=native.backend) as window:
        await window.until(lambda: bool(native.link.sent(Load)), "a load")
        await send(window, "First")
        await send(window, "Queued")
        await window.sees("queued: Queued")
        native.link.hold_load = False
        native.link.crash()
        await window.sees("Choose a model")  # the model may be the cause
        await window.sees("the engine process ended")
        await window.press("escape")
        await window.reads("✗ The previous answer failed. The queued message was sent.")
        await window.reads("the engine process ended")
        queued = await begun(window, native, 1)
        native.link.say(queued, "Here I am.")
        native.link.end(queued)
        await window.reads("Here I am.")
        assert [each.content for each in native.asked(queued)] == ["First", "Queued"]
    tally("engine crash", tried=1)
