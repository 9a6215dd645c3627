"""The storage contract, tested on every store: case 12."""

import asyncio
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from koel_tui.protocol import (
    AgentError,
    ChatState,
    Message,
    OpenMessage,
    RunPhase,
    ToolCall,
    decode_state,
)
from koel_tui.storage import Access, MemoryStorage, SessionStorage, StorageError
from koel_tui.storage.files.thread_file import read_thread
from koel_tui.storage.thread_record import decode_record
from tests.protocol.golden import GOLDEN
from tests.storage.helpers import FILE_STORES, Clock, saying

STRANGE_IDS = [
    "",
    "../x",
    "/etc/passwd",
    "a\0b",
    "x" * 300,
    "😀" * 80,
    "A",
    "a",
    "é",
    "e\u0301",
    "\ud83d",
]


@pytest.fixture(params=["memory", *FILE_STORES])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> SessionStorage:
    if request.param == "memory":
        return MemoryStorage(clock=Clock())
    return FILE_STORES[request.param](tmp_path / "threads")


class TestStorageCase12EveryStore:
    async def test_storage_case_01_the_golden_state(self, store: SessionStorage) -> None:
        golden = decode_state(json.loads(GOLDEN))
        await store.save("t", golden)
        loaded = await store.load("t")
        assert loaded is not None
        half = golden.pending_messages[0]
        assert loaded == replace(
            golden,
            messages=(*golden.messages, replace(half, interrupted=True)),
            open_messages=(),
            phase=RunPhase.IDLE,
        )

    @pytest.mark.parametrize("phase", list(RunPhase))
    async def test_storage_case_02_phases(self, store: SessionStorage, phase: RunPhase) -> None:
        await store.save("t", ChatState(phase=phase))
        loaded = await store.load("t")
        assert loaded is not None
        assert loaded.phase is (RunPhase.IDLE if phase.is_running else phase)

    async def test_storage_case_03_bytes_survive(self, store: SessionStorage) -> None:
        state = ChatState(reasoning_echo={"e": bytes([0, 1, 2, 250, 251, 255])})
        await store.save("t", state)
        assert await store.load("t") == state

    async def test_storage_case_04_an_error_is_not_saved(self, store: SessionStorage) -> None:
        broken = AgentError("broken", cause=ValueError(object()))
        await store.save("t", ChatState(error=broken, phase=RunPhase.ERROR))
        assert await store.load("t") == ChatState(phase=RunPhase.ERROR)

    async def test_storage_case_05_a_mid_stream_save_reloads(self, store: SessionStorage) -> None:
        opened = [OpenMessage.of(Message(name, "assistant")).append(name * 3) for name in "ab"]
        streaming = replace(
            saying("hi"),
            open_messages=tuple(opened),
            pending_tool_calls=(ToolCall("c", "find", '{"q'),),
            phase=RunPhase.RUNNING,
        )
        await store.save("t", streaming)
        loaded = await store.load("t")
        assert loaded is not None
        said = [(message.content, message.interrupted) for message in loaded.messages]
        assert said == [("hi", False), ("aaa", True), ("bbb", True)]
        assert all(message.timestamp is not None for message in loaded.messages)
        assert loaded.pending_tool_calls == streaming.pending_tool_calls

    async def test_storage_case_06_absent_threads_are_fine(self, store: SessionStorage) -> None:
        assert await store.load("nobody") is None
        await store.delete("nobody")
        assert await store.list_threads() == []
        assert await store.summaries() == []
        assert await store.meta("nobody") == {}

    async def test_storage_case_06_the_last_write_wins(self, store: SessionStorage) -> None:
        states = [saying(str(number)) for number in range(20)]
        await asyncio.gather(*(store.save("t", state) for state in states))
        assert await store.load("t") == states[-1]

    async def test_a_deleted_thread_is_gone(self, store: SessionStorage) -> None:
        await store.save("t", saying("hi"))
        await store.delete("t")
        assert await store.load("t") is None
        assert await store.list_threads() == []

    async def test_any_string_is_a_thread_id(self, store: SessionStorage) -> None:
        for place, thread_id in enumerate(STRANGE_IDS):
            await store.save(thread_id, saying(str(place)))
        for place, thread_id in enumerate(STRANGE_IDS):
            assert await store.load(thread_id) == saying(str(place))
        assert sorted(await store.list_threads()) == sorted(STRANGE_IDS)

    async def test_a_returned_list_can_be_changed_by_the_caller(
        self, store: SessionStorage
    ) -> None:
        await store.save("t", saying("hi"))
        (await store.list_threads()).clear()
        (await store.meta("t")).clear()
        assert await store.list_threads() == ["t"]
        assert await store.meta("t") != {}

    async def test_any_text_can_be_saved(self, store: SessionStorage) -> None:
        state = saying("a\ud83d\0\x1b[31m\u2028\u202e😀")
        await store.save("t", state)
        assert await store.load("t") == state

    async def test_a_value_that_cannot_be_saved_is_an_error_and_keeps_the_saved_state(
        self, store: SessionStorage
    ) -> None:
        await store.save("t", saying("hi"))
        with pytest.raises(StorageError, match="cannot be saved"):
            await store.save("t", ChatState(state={"odd": object()}))
        assert await store.load("t") == saying("hi")

    async def test_unknown_keys_are_kept(self, store: SessionStorage) -> None:
        state = ChatState(
            messages=(Message("u", "user", "hi", extra={"theirs": [1]}),), extra={"future": {}}
        )
        await store.save("t", state)
        assert await store.load("t") == state

    async def test_meta_is_set_kept_and_removed(self, store: SessionStorage) -> None:
        await store.save("t", saying("hi"))
        await store.update_meta("t", title="Weather", sampling={"seed": 1}, theirs=[None])
        await store.save("t", saying("hi", "hello"))
        await store.update_meta("t", title=None)
        meta = await store.meta("t")
        assert (meta["sampling"], meta["theirs"]) == ({"seed": 1}, [None])
        assert "title" not in meta
        assert await store.load("t") == saying("hi", "hello")

    async def test_meta_of_an_absent_thread_makes_it(self, store: SessionStorage) -> None:
        await store.update_meta("t", system="Be brief.")
        assert await store.load("t") == ChatState()
        assert (await store.meta("t"))["system"] == "Be brief."

    async def test_meta_that_json_cannot_hold_is_refused(self, store: SessionStorage) -> None:
        with pytest.raises(StorageError, match="cannot be saved"):
            await store.update_meta("t", title=object())
        assert await store.list_threads() == []

    async def test_summaries_come_newest_first(self, store: SessionStorage) -> None:
        await store.save("old", saying("first question", "first answer"))
        await store.save("new", saying("second question"))
        await store.update_meta("old", model="SmolLM2", title="Renamed")
        newest, oldest = await store.summaries()
        assert (newest.id, newest.title, newest.messages) == ("new", "second question", 1)
        assert (oldest.id, oldest.title, oldest.model) == ("old", "Renamed", "SmolLM2")
        assert (oldest.messages, oldest.preview) == (2, "first answer")
        assert oldest.created == oldest.updated < newest.updated
        await store.save("old", saying("first question", "first answer", "more"))
        assert [summary.id for summary in await store.summaries()] == ["old", "new"]
        assert (await store.summaries())[0].created == oldest.created

    async def test_a_limit_returns_the_most_recently_changed_threads(
        self, store: SessionStorage
    ) -> None:
        for number in range(5):
            await store.save(str(number), saying("hi"))
        assert [summary.id for summary in await store.summaries(2)] == ["4", "3"]
        assert len(await store.summaries(9)) == 5
        assert await store.summaries(0) == []

    async def test_an_opened_thread_can_be_written_until_after_it_is_closed(
        self, store: SessionStorage
    ) -> None:
        assert await store.open("t") == Access(writable=True)
        assert await store.open("t") == Access(writable=True)
        await store.save("t", saying("hi"))
        await store.update_meta("t", title="x")
        await store.close("t")
        await store.close("t")
        await store.save("t", saying("hi", "hello"))
        assert await store.load("t") == saying("hi", "hello")

    async def test_a_thread_is_restored_from_the_trash_unchanged(
        self, store: SessionStorage
    ) -> None:
        await store.save("t", saying("hi"))
        await store.update_meta("t", title="Weather")
        await store.trash("t")
        assert await store.load("t") is None
        assert await store.list_threads() == []
        assert [(found.id, found.title) for found in await store.trashed()] == [("t", "Weather")]
        await store.restore("t")
        assert await store.trashed() == []
        assert await store.load("t") == saying("hi")
        assert (await store.meta("t"))["title"] == "Weather"

    async def test_the_trash_lists_the_latest_thread_first(self, store: SessionStorage) -> None:
        for name in "abc":
            await store.save(name, saying(name))
        for name in "bca":
            await store.trash(name)
        assert [found.id for found in await store.trashed()] == ["a", "c", "b"]

    async def test_the_trash_keeps_the_newest_of_a_thread(self, store: SessionStorage) -> None:
        for text in ("old", "new"):
            await store.save("t", saying(text))
            await store.trash("t")
        assert [found.title for found in await store.trashed()] == ["new"]

    async def test_an_impossible_restore_is_refused(self, store: SessionStorage) -> None:
        await store.trash("nobody")
        with pytest.raises(StorageError, match="no thread 'nobody'"):
            await store.restore("nobody")
        await store.save("t", saying("old"))
        await store.trash("t")
        await store.save("t", saying("new"))
        with pytest.raises(StorageError, match="Delete that one"):
            await store.restore("t")
        assert await store.load("t") == saying("new")
        assert [found.title for found in await store.trashed()] == ["old"]

    async def test_the_trash_deletes_threads_after_the_retention_time(
        self, store: SessionStorage
    ) -> None:
        for name in ("old", "new"):
            await store.save(name, saying(name))
        await store.trash("old")
        for _ in range(10):
            await store.update_meta("new", title="x")  # advances the clock
        await store.trash("new")
        assert await store.empty_trash(timedelta(seconds=8)) == 1
        assert [found.id for found in await store.trashed()] == ["new"]
        assert await store.empty_trash() == 1
        assert await store.trashed() == []


@pytest.mark.parametrize("kind", FILE_STORES)
async def test_a_thread_written_by_one_store_is_read_by_another(tmp_path: Path, kind: str) -> None:
    await FILE_STORES[kind](tmp_path).save("t", saying("hi", "hello"))
    assert await FILE_STORES[kind](tmp_path).load("t") == saying("hi", "hello")


async def test_storage_case_12_every_store_keeps_the_same_json(tmp_path: Path) -> None:
    state, memory = saying("hi", "there"), MemoryStorage(clock=Clock())
    await memory.save("t", state)
    await memory.update_meta("t", title="Greetings")
    for kind, make in FILE_STORES.items():
        store = make(tmp_path / kind)
        await store.save("t", state)
        await store.update_meta("t", title="Greetings")
        (path,) = (tmp_path / kind).glob("t-*.[js]*")
        reader = store.reader()
        assert path.suffix in (".json", ".sealed")
        file = read_thread(path)
        assert file is not None
        assert reader.decode(file, path) == decode_record(memory._threads["t"]), kind
