"""Successive sessions of one thread: an older session never overwrites data of a newer one."""

import asyncio
import json
from pathlib import Path

import pytest

from koel_tui.protocol import ChatState, Message, decode_state, encode_state
from koel_tui.session import KoelClient, autosave
from koel_tui.session.succession import HandoverEffect, handover_effect
from koel_tui.storage import Access, JsonFileStorage, MemoryStorage, StorageError
from koel_tui.storage.files.conflicts import Conflict
from tests.session.helpers import ScriptedAgent, eventually, say


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autosave, "RETRY_S", 0.01)


class FailingFiles(JsonFileStorage):
    """A storage whose files cannot be written while `broken`."""

    broken = False
    tries = 0

    async def save(self, thread_id: str, state: ChatState) -> None:
        self.tries += 1
        if self.broken:
            raise StorageError("The disk is full. Make room.")
        await super().save(thread_id, state)


class FullFiles(FailingFiles):
    """A storage that cannot write conflict files while `no_conflicts`."""

    no_conflicts = False

    async def save_conflict(self, thread_id: str, state: ChatState) -> None:
        if self.no_conflicts:
            raise StorageError("The disk is full. Make room.")
        await super().save_conflict(thread_id, state)


def client(storage: MemoryStorage | JsonFileStorage) -> KoelClient:
    return KoelClient(ScriptedAgent(say("ok")), storage, save_interval=0)


def in_conflict(storage: JsonFileStorage) -> list[list[str]]:
    """Return the user messages in each reported conflict file."""
    found = []
    for conflict in storage.conflicts:
        assert isinstance(conflict, Conflict)
        state = decode_state(json.loads(conflict.path.read_bytes())["state"])
        found.append([message.content for message in state.messages if message.role == "user"])
    return found


def asked(state: ChatState | None) -> list[str]:
    assert state is not None
    return [message.content for message in state.messages if message.role == "user"]


async def test_b5_the_unsaved_state_of_an_older_session_becomes_a_conflict_file(
    tmp_path: Path,
) -> None:
    storage = FailingFiles(tmp_path)
    owner = client(storage)
    first = owner.new_session("t")
    await first.send("one")
    storage.broken = True
    await first.send("two")
    await first.dispose()
    assert list(owner.unsaved) == [first]
    second = owner.new_session("t", await storage.load("t"))
    storage.broken = False
    await second.send("three")
    await second.persist()
    await eventually(lambda: not first.dirty)
    await owner.dispose()
    assert asked(await JsonFileStorage(tmp_path).load("t")) == ["one", "three"]
    assert in_conflict(storage) == [["one", "two"]]
    assert list(owner.unsaved) == []


async def test_b5_a_session_that_waits_for_its_retry_leaves_the_newer_ones_lock_alone(
    tmp_path: Path,
) -> None:
    storage = FailingFiles(tmp_path)
    owner = client(storage)
    first = owner.new_session("t")
    storage.broken = True
    await first.send("one")
    await first.dispose()
    second = owner.new_session("t", first.state)
    tried = storage.tries
    await eventually(lambda: storage.tries > tried + 2)
    storage.broken = False
    await second.persist()
    access = await JsonFileStorage(tmp_path).open("t")
    assert not access.writable
    await owner.dispose()
    assert (await JsonFileStorage(tmp_path).open("t")).writable
    assert storage.conflicts == ()
    assert asked(await storage.load("t")) == ["one"]


async def test_b5_a_thread_loaded_before_its_last_save_was_done_does_not_lose_that_save(
    tmp_path: Path,
) -> None:
    storage = JsonFileStorage(tmp_path)
    owner = client(storage)
    first = owner.new_session("t")
    await first.send("one")
    await first.persist()
    stale = await storage.load("t")
    await first.send("two")
    await first.persist()
    await first.dispose()
    second = owner.new_session("t", stale)
    await second.send("three")
    await owner.dispose()
    assert asked(await storage.load("t")) == ["one", "three"]
    assert in_conflict(storage) == [["one", "two"]]


async def test_b5_a_conflict_that_cannot_be_saved_either_stays_unsaved_and_is_tried_again(
    tmp_path: Path,
) -> None:
    storage = FullFiles(tmp_path)
    owner = client(storage)
    first = owner.new_session("t")
    storage.broken = storage.no_conflicts = True
    await first.send("one")
    await first.dispose()
    second = owner.new_session("t")
    await second.send("another")
    assert owner.unsaved == (first,)
    storage.broken = storage.no_conflicts = False
    await eventually(lambda: not (first.dirty or second.dirty))
    await owner.dispose()
    assert asked(await storage.load("t")) == ["another"]
    assert in_conflict(storage) == [["one"]]


async def _with_a_stored_and_a_superseded_state(storage: FullFiles, owner: KoelClient) -> ChatState:
    """Store "newer", and return the state "older" that goes to a conflict file."""
    storage.broken = storage.no_conflicts = True
    first = owner.new_session("t")
    await first.send("older")
    await first.dispose()
    storage.broken = False
    second = owner.new_session("t")
    await second.send("newer")
    await second.persist()
    await second.dispose()
    assert owner.unsaved == (first,)
    return first.state


async def test_b5_a_thread_is_not_opened_with_a_superseded_state(tmp_path: Path) -> None:
    storage = FullFiles(tmp_path)
    owner = client(storage)
    await _with_a_stored_and_a_superseded_state(storage, owner)
    assert owner.unsaved_state("t") is None
    storage.broken = True
    third = owner.new_session("t", await storage.load("t"))
    await third.send("newest")
    await third.dispose()
    assert asked(owner.unsaved_state("t")) == ["newer", "newest"]
    storage.broken = storage.no_conflicts = False
    await eventually(lambda: not owner.unsaved)
    await owner.dispose()
    assert asked(await storage.load("t")) == ["newer", "newest"]
    assert in_conflict(storage) == [["older"]]


async def test_b5_opening_a_thread_with_a_superseded_state_loses_nothing_stored_since(
    tmp_path: Path,
) -> None:
    storage = FullFiles(tmp_path)
    owner = client(storage)
    third = owner.new_session("t", await _with_a_stored_and_a_superseded_state(storage, owner))
    await third.send("newest")
    storage.no_conflicts = False
    await eventually(lambda: not owner.unsaved)
    await owner.dispose()
    assert asked(await storage.load("t")) == ["older", "newest"]
    assert in_conflict(storage) == [["newer"]]


async def test_b5_a_session_superseded_while_it_locks_its_thread_is_saved_as_a_conflict(
    tmp_path: Path,
) -> None:
    gate, waits = asyncio.Event(), asyncio.Event()
    gate.set()

    class SlowLocks(FullFiles):
        async def open(self, thread_id: str) -> Access:
            waits.set()
            await gate.wait()
            return await super().open(thread_id)

    storage = SlowLocks(tmp_path)
    owner = client(storage)
    storage.broken = True
    first = owner.new_session("t")
    await first.send("older")
    await first.dispose()
    gate.clear()
    waits.clear()
    await waits.wait()  # the next attempt to save it locks the thread
    second = owner.new_session("t")
    storage.broken = False
    gate.set()
    await second.send("newer")
    await eventually(lambda: not (first.dirty or second.dirty))
    await owner.dispose()
    assert asked(await storage.load("t")) == ["newer"]
    assert in_conflict(storage) == [["older"]]


async def test_b5_reopening_with_an_equal_state_makes_no_conflict(tmp_path: Path) -> None:
    storage = JsonFileStorage(tmp_path)
    owner = client(storage)
    first = owner.new_session("t")
    await first.send("one")
    await first.persist()
    first.update_state({"x": 1})
    first.dispose()
    second = owner.new_session("t", decode_state(json.loads(encode_state(first.state))))
    await second.send("two")
    await owner.dispose()
    assert storage.conflicts == ()
    assert asked(await storage.load("t")) == ["one", "two"]


async def test_b5_the_unsaved_state_of_a_deleted_thread_is_not_saved(tmp_path: Path) -> None:
    storage = FailingFiles(tmp_path)
    owner = client(storage)
    first = owner.new_session("t")
    await first.send("one")
    storage.broken = True
    await first.send("two")
    await first.dispose()
    storage.broken = False
    owner.forget("t")
    await storage.delete("t")
    second = owner.new_session("t")
    await second.send("new")
    await owner.dispose()
    assert storage.conflicts == ()
    assert asked(await storage.load("t")) == ["new"]


async def test_b5_a_memory_storage_keeps_a_conflict_as_a_separate_thread() -> None:
    storage = MemoryStorage()
    owner = client(storage)
    first = owner.new_session("t")
    await first.send("one")
    stale = await storage.load("t")
    await first.send("two")
    await first.dispose()
    await owner.new_session("t", stale).send("three")
    await owner.dispose()
    assert sorted(await storage.list_threads()) == ["t", "t.conflict-1"]
    assert asked(await storage.load("t.conflict-1")) == ["one", "two"]


def _talk(*texts: str, **more: object) -> ChatState:
    messages = tuple(Message(str(n), "user", text) for n, text in enumerate(texts))
    return ChatState(messages=messages, state=dict(more))


@pytest.mark.parametrize(
    ("state", "newer", "dirty", "fate"),
    [
        (_talk("a"), _talk("a"), True, HandoverEffect.SAME),
        (_talk("a"), _talk("a", "b"), True, HandoverEffect.CONTAINED),
        (_talk("a", x=1), _talk("a", "b"), True, HandoverEffect.LOST),
        (_talk("a"), _talk("b"), True, HandoverEffect.LOST),
        (_talk("a"), _talk("b"), False, HandoverEffect.CONTAINED),
        (_talk("a", "b"), _talk("a"), False, HandoverEffect.LOST),
        (_talk("a", "b"), _talk(), False, HandoverEffect.CONTAINED),
        (_talk("a", "b"), _talk(), True, HandoverEffect.LOST),
    ],
)
def test_the_effect_of_a_handover_on_an_older_state(
    state: ChatState, newer: ChatState, dirty: bool, fate: HandoverEffect
) -> None:
    assert handover_effect(state, newer, dirty=dirty) is fate
