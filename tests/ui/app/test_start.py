"""Tests of the start: imports before the first paint, connecting, loading and failures."""

import asyncio
import subprocess
import sys
import threading
from asyncio import Event
from pathlib import Path

import pytest

from koel_tui.conversation.backend import Backend
from koel_tui.session import KoelClient, ThreadSettings
from koel_tui.storage import JsonFileStorage, MemoryStorage
from koel_tui.storage.search.database import SearchDatabase
from koel_tui.storage.search.index_updater import IndexUpdater
from koel_tui.storage.search.thread_index import ThreadIndex, index_file
from koel_tui.ui.app.app import KoelApp
from koel_tui.workspace.recovery import RestoredWork, restore
from tests.ui.scripted import ScriptedAgent
from tests.ui.window import messages, opened

LATE = (
    "ag_ui",
    "koel_tui.agents",
    "koel_tui.engine",
    "koel_tui.models",
    "koel_tui.protocol",
    "koel_tui.session",
    "koel_tui.storage",
    "llama_cpp",
    "pydantic",
)


def test_nothing_heavy_is_imported_before_the_first_paint() -> None:
    code = "import sys, koel_tui.ui.app.app; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & set(LATE)


# The session package is imported in the thread that connects. An import on the event loop would
# delay the first paint by more than 100 ms.
UNCONNECTED = """
import asyncio, pathlib, sys, threading
from koel_tui.ui.app.app import KoelApp

async def run(home):
    may_connect = threading.Event()
    def connect():
        may_connect.wait(20)
        raise OSError("never")
    app = KoelApp(connect, home=home)
    async with app.run_test() as pilot:
        await pilot.press("h", "i")
        while "hi" not in "".join(file.read_text() for file in home.glob("*.json")):
            await pilot.pause(0.02)
        print(*sys.modules)
        may_connect.set()

asyncio.run(run(pathlib.Path(sys.argv[1])))
"""


def test_a_draft_is_saved_before_anything_heavy_is_imported(tmp_path: Path) -> None:
    command = [sys.executable, "-c", UNCONNECTED, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    loaded = set(done.stdout.split())
    assert "koel_tui.workspace.window_state" in loaded
    assert not loaded & set(LATE)


async def test_the_window_is_shown_before_the_backend_is_connected() -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    may_connect = threading.Event()
    threads: list[str] = []

    def connect() -> Backend:
        threads.append(threading.current_thread().name)
        may_connect.wait(10)
        return Backend(KoelClient(agent, storage=storage), storage, agent)

    async with opened(connect=connect) as window:
        await window.sees("Ask anything.")
        await window.until(lambda: "Starting…" in window.status)
        await window.type("too early?")
        await window.press("enter")
        await window.sees("queued: too early?")
        await window.press("ctrl+o")
        await window.sees("Still starting")
        may_connect.set()
        await window.until(lambda: bool(agent.turns) or bool(window.agent.turns))
    assert threads != [threading.main_thread().name]


async def test_the_load_shows_its_progress_and_a_question_waits_for_it() -> None:
    agent = ScriptedAgent(load_at_once=False)
    async with opened(agent=agent) as window:
        await window.until(lambda: "loading model" in window.status)
        agent.progress(0.4)
        await window.until(lambda: "loading model 40%" in window.status)
        turn = await window.ask("Ready?")
        turn.report(phase="loading", fraction=0.5)
        await window.sees("⌛ loading model 50%…")
        agent.end_load()
        turn.write("Yes.")
        turn.finish()
        await window.sees("Yes.")
        await window.until(lambda: "Scripted-1B" in window.status)


async def test_a_load_that_fails_is_reported_and_threads_stay_readable() -> None:
    agent = ScriptedAgent(load_at_once=False)
    storage = MemoryStorage()
    await storage.save("old", messages(2, "kept {n}"))
    async with opened(agent=agent, storage=storage, thread="old") as window:
        await window.until(lambda: "loading model" in window.status)
        error = RuntimeError("The file model.gguf is not a model. Choose another with --model.")
        agent.end_load(error)
        await window.until(lambda: "No model: The file model.gguf" in window.status)
        await window.sees("✗ The file model.gguf is not a model. Choose another with --model.")
        await window.sees("kept 1")
        assert window.app.fatal_error is error
        # Another question retries the load; its answer removes the alert.
        turn = await window.ask("Again")
        turn.write("Here.")
        turn.measure(model="Found-1B", context_tokens=4096)
        turn.finish()
        await window.until(lambda: "Found-1B" in window.status)
        await window.misses("✗")
        assert window.app.fatal_error is None


async def test_a_start_that_fails_is_reported_and_the_window_stays() -> None:
    def connect() -> Backend:
        raise OSError("Cannot use /threads: read-only. Check its permissions.")

    async with opened(connect=connect) as window:
        await window.sees("✗ Cannot use /threads: read-only. Check its permissions.")
        await window.type("kept")
        await window.press("enter")
        await window.sees("queued: kept")
        await window.press("escape")
        await window.until(lambda: window.prompt.text == "kept")
        assert isinstance(window.app.fatal_error, OSError)


async def test_the_thread_asked_for_is_opened() -> None:
    storage = MemoryStorage()
    await storage.save("thread-one", messages(2, "one {n}"))
    await storage.save("thread-two", messages(2, "two {n}"))
    for wanted, first in (("thread-one", "one 0"), ("thread-t", "two 0"), ("one 0", "one 0")):
        async with opened(storage=storage, thread=wanted) as window:
            await window.sees(first)
            await window.has_tabs(f"1 {first}")


async def test_a_thread_that_is_not_there_is_reported_and_a_new_one_opened() -> None:
    async with opened(thread="nowhere") as window:
        await window.sees("No saved thread is called 'nowhere'.")
        await window.has_tabs("1 New thread")


async def test_text_typed_during_the_start_is_kept() -> None:
    agent = ScriptedAgent(load_at_once=False)
    async with opened(agent=agent) as window:
        await window.type("typed early")
        agent.end_load()
        await window.connected()
        assert window.prompt.text == "typed early"


async def test_quitting_during_the_start_closes_the_connected_backend() -> None:
    agent, storage = ScriptedAgent(), MemoryStorage()
    may_connect = threading.Event()

    def connect() -> Backend:
        may_connect.wait(10)
        return Backend(KoelClient(agent, storage=storage), storage, agent)

    app = KoelApp(connect)
    async with app.run_test() as pilot:
        await pilot.press("ctrl+q")
        may_connect.set()
        await asyncio.sleep(0)
    assert app.return_code == 0


async def test_quitting_during_the_restore_causes_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agent, storage, reached, may_continue = ScriptedAgent(), MemoryStorage(), Event(), Event()

    async def slow(backend: Backend) -> RestoredWork:
        reached.set()
        await may_continue.wait()
        return await restore(backend)

    monkeypatch.setattr("koel_tui.ui.app.app.restore", slow)
    app = KoelApp(lambda: Backend(KoelClient(agent, storage=storage), storage, agent))
    async with app.run_test() as pilot:
        await reached.wait()
        app._is_shutting_down = True
        await app._close()
        may_continue.set()
        await app.workers.wait_for_complete()
        await pilot.press("ctrl+q")
    assert app.crash is None and app.return_code == 0


async def test_a_tab_opened_while_the_window_closes_causes_no_error() -> None:
    async with opened() as window:
        (await window.ask("One?")).finish()
        await window.app._close()
        await window.press("ctrl+n")
        await window.until(lambda: len(window.tabs) == 2)
        await window.press("ctrl+q")
    assert window.app.crash is None


async def test_new_messages_of_the_window_are_indexed_soon(tmp_path: Path) -> None:
    storage = JsonFileStorage(tmp_path / "threads")
    for n in range(40):
        await storage.save(f"t{n}", messages(2))
    agent = ScriptedAgent()

    def connect() -> Backend:
        upkeep = IndexUpdater(storage, ThreadIndex(storage, tmp_path / "cache"), delay=0.01)
        return Backend(KoelClient(agent, storage=storage), storage, agent, upkeep)

    def found() -> bool:
        return bool(index.find("lighthouse", 50))

    index = SearchDatabase(index_file(tmp_path / "cache", storage.directory))
    async with opened(agent=agent, storage=storage, connect=connect) as window:
        await window.connected()
        (await window.ask("Which lighthouse?")).finish()
        await window.until(found)
    index.close()


async def test_reading_for_the_search_is_reported_when_nothing_else_is() -> None:
    async with opened() as window:
        window.app._runtime._on_indexed(32, 4000)
        await window.until(lambda: "indexing 32 of 4000 threads" in window.status)
        turn = await window.ask("Hello")
        turn.write("Hi")
        await window.until(lambda: "writing" in window.status)
        turn.finish()
        await window.until(lambda: "indexing 32 of 4000 threads" in window.status)
        window.app._runtime._on_indexed(4000, 4000)
        await window.until(lambda: "indexing" not in window.status)


async def test_b36_a_window_beyond_the_training_is_reported_at_the_start() -> None:
    agent = ScriptedAgent()
    agent.notice = "The window is larger than what the model was trained for."
    async with opened(agent=agent) as window:
        await window.tells("The window is larger than what the model was trained for.")


async def test_b36_a_window_beyond_the_training_of_a_thread_model_is_shown_once() -> None:
    notice = "The context of 9,216 tokens is larger than the 4,096 that Own-1B was trained for."
    async with opened() as window:
        await window.connected()
        conversation = window.app._workspace.active
        await conversation.configure("", ThreadSettings(model="/models/own.gguf"))
        for question in ("First", "Second"):
            turn = await window.ask(question)
            assert turn.model == "/models/own.gguf"
            turn.write("Yes")
            turn.measure(model="Own-1B", output_tokens=1, notice=notice)
            turn.finish()
            await window.until(lambda: "saved" in window.status)
            await window.tells(notice)
        told = [each.message for each in window.app._notifications]
        assert told.count(notice) == 1
