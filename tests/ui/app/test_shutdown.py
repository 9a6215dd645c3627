"""Tests of the shutdown by keys and signals: everything is saved or reported."""

import asyncio
import os
import signal

import pytest

from koel_tui import paths
from koel_tui.protocol import ChatState
from koel_tui.storage import MemoryStorage
from koel_tui.workspace import shutdown
from tests.ui.window import Window, opened


async def gone(window: Window) -> None:
    await window.until(lambda: not window.app.is_running, "the end")


async def test_ctrl_q_saves_closes_and_ends_with_0() -> None:
    storage = MemoryStorage()
    async with opened(storage=storage) as window:
        turn = await window.ask("Half")
        turn.write("half an answer")
        await window.sees("half an answer")
        await window.press("ctrl+q")
        await gone(window)
    assert (window.app.return_code, window.app.return_value) == (0, 0)
    assert window.agent.closed
    assert turn.closed.is_set()
    state = await storage.load(turn.asked.thread_id)
    assert state is not None
    assert [message.content for message in state.messages] == ["Half", "half an answer"]
    assert state.messages[1].interrupted


async def test_ctrl_q_quits_from_a_panel_too() -> None:
    async with opened() as window:
        await window.press("f1")
        await window.sees("esc closes")
        await window.press("ctrl+q")
        await gone(window)


async def test_quitting_during_an_answer_causes_no_error() -> None:
    for _ in range(5):
        async with opened() as window:
            turn = await window.ask("Pour")
            for n in range(50):
                turn.write(f"- {n}\n\n")
            window.app.exit(0)
            turn.fail("late")
        assert window.app.return_code == 0


async def test_ctrl_c_asks_once_and_then_quits() -> None:
    async with opened() as window:
        await window.press("ctrl+c")
        await window.until(lambda: "press ctrl+c again to quit" in window.status)
        await window.press("ctrl+c")
        await gone(window)
    assert window.app.return_code == 0


async def test_ctrl_c_copies_a_selection_and_does_not_ask() -> None:
    async with opened() as window:
        await window.type("copy me")
        await window.press("ctrl+a", "shift+end", "ctrl+c")
        assert window.app.clipboard == "copy me"
        assert "again to quit" not in window.status


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP", "SIGINT"])
async def test_a_signal_saves_and_ends_with_its_code(name: str) -> None:
    number = getattr(signal, name)
    before = signal.getsignal(number)
    async with opened() as window:
        turn = await window.ask("Signal")
        os.kill(os.getpid(), number)
        await gone(window)
    assert window.app.return_code == 128 + number
    assert window.agent.closed
    assert turn.closed.is_set()
    assert signal.getsignal(number) == before


async def test_unsaved_threads_are_reported_at_the_end() -> None:
    class Full(MemoryStorage):
        async def save(self, thread_id: str, state: ChatState) -> None:
            raise OSError("The disk is full. Make room and try again.")

    async with opened(storage=Full()) as window:
        (await window.ask("Doomed")).finish()
        await window.sees("NOT SAVED: 'Doomed'")
        await window.sees("The disk is full. Make room and try again.")
        await window.press("ctrl+q")
        await gone(window)
        (message,) = window.app._exit_renderables
    assert window.app.return_code == 74
    said, where, how = str(message).splitlines()
    assert said == "Not saved: 'Doomed'. The disk is full. Make room and try again."
    (kept,) = (paths.state_dir() / "recovery").iterdir()
    assert str(kept) in where and how == f"koel-chat threads import {kept}"


async def test_an_error_of_the_window_ends_it_with_one_line_and_saves() -> None:
    storage = MemoryStorage()
    with pytest.raises(RuntimeError, match="a bug"):
        async with opened(storage=storage) as window:
            secret = await window.ask("secret words")

            def fail() -> None:
                raise RuntimeError(f"a bug \x1b with {len(str(secret))}")

            window.app.call_later(fail)
            await gone(window)
            (message,) = window.app._exit_renderables
            assert str(message).startswith(
                "koel-chat ended because of an internal error: RuntimeError"
            )
            assert "\x1b" not in str(message)
    assert window.app.return_code == 1
    assert isinstance(window.app.fatal_error, RuntimeError)
    assert window.agent.closed
    assert [summary.title for summary in await storage.summaries()] == ["secret words"]


async def test_the_second_ctrl_q_does_not_wait_and_a_second_signal_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with opened() as window:
        slow = asyncio.Event()
        monkeypatch.setattr(window.agent, "close", slow.wait)
        os.kill(os.getpid(), signal.SIGTERM)
        await window.until(lambda: "Saving…" in window.status)
        os.kill(os.getpid(), signal.SIGTERM)
        await window.pilot.pause()
        assert window.app.is_running
        await window.press("ctrl+q")
        await gone(window)
        slow.set()


async def test_closing_a_tab_that_cannot_be_saved_is_reported() -> None:
    class Full(MemoryStorage):
        async def save(self, thread_id: str, state: ChatState) -> None:
            raise OSError("disk full")

    async with opened(size=(100, 24), storage=Full()) as window:
        (await window.ask("Doomed")).finish()
        await window.has_tabs("1 Doomed not saved")
        await window.press("alt+w")
        await window.sees("NOT SAVED: Doomed: disk full")
        # The thread is still in memory and can be reopened.
        await window.press("alt+shift+w")
        await window.until(lambda: window.shown == ["Doomed"])


async def test_an_agent_that_does_not_end_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutdown, "CLOSE_DEADLINE", 0.1)
    async with opened() as window:

        async def never() -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(window.agent, "close", never)
        await window.press("ctrl+q")
        await gone(window)
        assert window.app._exit_renderables == []
    assert window.app.return_code == 0, "all is saved"


async def test_a_callback_during_the_shutdown_causes_no_error() -> None:
    async with opened() as window:

        async def late() -> None:
            await gone(window)
            window.app.query_one("#gone")

        window.app.screen.call_later(late)
    assert window.app.crash is None
