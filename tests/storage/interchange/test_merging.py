"""Repeated imports of a conversation: only new messages are added."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from koel_tui.protocol import ChatState, Message, fork_off, settle, switch
from koel_tui.storage import MemoryStorage
from koel_tui.storage.interchange import SavedThreads, Stored, Thread, read_threads, store_thread
from tests.storage.interchange.databases import LLM, LLM_THREADS, database, elia, llm, oterm
from tests.storage.interchange.test_chatgpt import conversation, node, write

CITE = "\ue200cite\ue202turn0search1\ue201"


def long_id(name: str) -> str:
    return f"{name}{'-' * 35}"[:36]


def said(name: str, after: str, text: str, **more: Any) -> dict[str, Any]:
    role = "user" if name.startswith("u") else "assistant"
    return node(long_id(name), long_id(after) if after else None, role, text, **more)


FIRST = (said("u1", "", "Why?"), said("a1", "u1", f"Rivers. {CITE}"))
GROWN = (*FIRST, said("u2", "a1", "Really?"), said("a2", "u2", "Yes."))


async def take(
    storage: MemoryStorage, path: Path, *nodes: dict[str, Any], **more: Any
) -> list[Stored]:
    """Import a conversation as `koel-chat threads import` does."""
    file, saved_threads = write(path / "c.json", [conversation(*nodes, **more)]), None
    saved_threads = SavedThreads(storage)
    threads = [each for each in read_threads(file) if isinstance(each, Thread)]
    return [await store_thread(storage, thread, saved_threads) for thread in threads]


async def texts(storage: MemoryStorage, thread_id: str) -> list[str]:
    state = await storage.load(thread_id)
    assert state is not None
    return [message.content for message in state.messages]


@pytest.mark.parametrize("source_id", ["abc", None])
async def test_a_grown_conversation_is_extended_once(tmp_path: Path, source_id: str | None) -> None:
    storage = MemoryStorage()
    ids = {"conversation_id": source_id}
    (first,) = await take(storage, tmp_path, *FIRST, **ids)
    assert (first.is_new, first.added) == (True, 0)
    (same,) = await take(storage, tmp_path, *FIRST, **ids)
    assert (same.id, same.is_new, same.added) == (first.id, False, 0)
    (grown,) = await take(storage, tmp_path, *GROWN, **ids)
    assert (grown.id, grown.is_new, grown.added) == (first.id, False, 2)
    assert await texts(storage, first.id) == ["Why?", "Rivers.", "Really?", "Yes."]
    assert [each.added for each in await take(storage, tmp_path, *GROWN, **ids)] == [0]
    assert [each.added for each in await take(storage, tmp_path, *FIRST, **ids)] == [0]
    assert await storage.list_threads() == [first.id]


@pytest.mark.parametrize("thread_id", ["chatgpt-abc", "a new id of 0.1"])
async def test_a_thread_that_0_1_imported_is_extended(tmp_path: Path, thread_id: str) -> None:
    """Version 0.1 imported the citation marks, the tool messages, and only one branch."""
    storage = MemoryStorage()
    old = [Message(long_id("u1"), "user", "Why?"),
           Message(long_id("a1"), "assistant", f"Rivers. {CITE}"),
           Message(long_id("note"), "tool", "Successfully created.")]  # fmt: skip
    await storage.save(thread_id, ChatState(messages=tuple(old)))
    note = node(long_id("note"), long_id("a1"), role="tool", author={
        "role": "tool", "name": "canmore.create_textdoc"}, content={
        "content_type": "text", "parts": ["Successfully created."]})  # fmt: skip
    later = said("u2", "note", "Really?")
    (stored,) = await take(storage, tmp_path, *FIRST, note)
    assert (stored.id, stored.is_new, stored.added) == (thread_id, False, 0)
    (stored,) = await take(storage, tmp_path, *FIRST, said("a1b", "u1", "Rain."), note, later)
    assert (stored.id, stored.added) == (thread_id, 2)
    state = await storage.load(thread_id)
    assert state is not None
    assert [each.id for each in switch(state, long_id("u1")).messages] == [
        long_id("u1"), long_id("a1b"),
    ]  # fmt: skip
    assert [each.content for each in state.messages] == [
        "Why?", f"Rivers. {CITE}", "Successfully created.", "Really?",
    ]  # fmt: skip
    assert [each.added for each in await take(
        storage, tmp_path, *FIRST, said("a1b", "u1", "Rain."), note, later)] == [0]  # fmt: skip


def turns(*texts: str) -> tuple[Message, ...]:
    roles = ("user", "assistant")
    return tuple(Message(f"m{n}", roles[n % 2], text) for n, text in enumerate(texts))


def own(thread_id: str, *messages: Message) -> Thread:
    """Return a thread as read from JSON of koel-chat."""
    return Thread(thread_id, ChatState(messages=messages), {"title": "T", "system": "S"})


async def test_an_import_extends_the_longest_of_a_thread_and_its_copy() -> None:
    storage = MemoryStorage()
    whole, copy = turns("Why?", "So.", "And?"), turns("Why?", "So.")
    await storage.save("whole", ChatState(messages=whole))
    await storage.save("copy", ChatState(messages=copy))  # the newest is listed first
    grown = Thread("", ChatState(messages=turns("Why?", "So.", "And?", "Thus.")), {})
    stored = await store_thread(storage, grown, SavedThreads(storage))
    assert (stored.id, stored.added) == ("whole", 1)
    state = await storage.load("copy")
    assert state is not None and state.messages == copy


async def test_a_thread_that_was_changed_twice_is_imported_once() -> None:
    storage = MemoryStorage()
    await storage.save("x", ChatState(messages=turns("Why?", "So.", "Mine.")))
    there = own("x", *turns("Why?", "So.", "Theirs."))
    outcomes = [await store_thread(storage, there, SavedThreads(storage)) for _ in range(3)]
    assert [each.is_new for each in outcomes] == [True, False, False]
    assert len(await storage.list_threads()) == 2


async def test_report_16_a_thread_that_was_changed_twice_and_has_grown_extends_its_copy() -> None:
    storage = MemoryStorage()
    await storage.save("x", ChatState(messages=turns("Why?", "So.", "Mine.")))
    outcomes = []
    for texts_there in (("Theirs.",), ("Theirs.", "Then."), ("Theirs.", "Then.")):
        there = own("x", *turns("Why?", "So.", *texts_there))
        outcomes.append(await store_thread(storage, there, SavedThreads(storage)))
    assert [(each.is_new, each.added) for each in outcomes] == [(True, 0), (False, 1), (False, 0)]
    assert len({each.id for each in outcomes}) == 1 and len(await storage.list_threads()) == 2
    assert await texts(storage, "x") == ["Why?", "So.", "Mine."]


async def test_an_answer_follows_its_thinking_although_it_is_imported_later() -> None:
    storage = MemoryStorage()
    question, *_ = turns("Why?")
    await storage.save("x", ChatState(messages=(
        question, Message("m1", "assistant", reasoning="Hm."))))  # fmt: skip
    stored = await store_thread(storage, own("x", *turns("Why?", "So.")), SavedThreads(storage))
    state = await storage.load("x")
    assert stored.added == 1 and state is not None and state.messages[1].content == "So."


async def test_an_import_that_ended_before_the_metadata_is_completed() -> None:
    storage = MemoryStorage()
    thread = own("x", *turns("Why?", "So."))
    await storage.save("x", thread.state)
    await store_thread(storage, thread, SavedThreads(storage))
    meta = await storage.meta("x")
    assert (meta["title"], meta["system"]) == ("T", "S")


async def test_a_question_whose_file_0_1_left_out_is_not_a_new_message() -> None:
    storage = MemoryStorage()
    await storage.save("x", ChatState(messages=turns("See this")))
    grown = own("x", *turns("See this\n[file: a.pdf]"))
    assert (await store_thread(storage, grown, SavedThreads(storage))).added == 0


async def test_own_messages_stay_in_view_and_new_ones_become_a_branch(tmp_path: Path) -> None:
    storage = MemoryStorage()
    await take(storage, tmp_path, *FIRST)
    state = await storage.load("chatgpt-abc")
    assert state is not None
    mine = Message("mine", "user", "And lakes?")
    await storage.save("chatgpt-abc", replace(state, messages=(*state.messages, mine)))
    await storage.update_meta("chatgpt-abc", title="My name")
    (stored,) = await take(storage, tmp_path, *GROWN)
    assert stored.added == 2
    assert await texts(storage, "chatgpt-abc") == ["Why?", "Rivers.", "And lakes?"]
    merged = await storage.load("chatgpt-abc")
    assert merged is not None
    other = switch(merged, long_id("a1"))
    assert [each.content for each in other.messages][2:] == ["Really?", "Yes."]
    assert (await storage.meta("chatgpt-abc"))["title"] == "My name"


async def test_a_grown_answer_replaces_its_beginning_and_a_continued_one_stays(
    tmp_path: Path,
) -> None:
    storage = MemoryStorage()
    await take(storage, tmp_path, said("u1", "", "Why?"), said("a1", "u1", "Riv"))
    (stored,) = await take(storage, tmp_path, *FIRST)
    assert stored.added == 1
    assert await texts(storage, stored.id) == ["Why?", "Rivers."]
    await take(storage, tmp_path, said("u1", "", "Why?"), said("a1", "u1", "Riv"))
    assert await texts(storage, stored.id) == ["Why?", "Rivers."]


async def test_the_branches_that_were_shown_stay_shown(tmp_path: Path) -> None:
    storage = MemoryStorage()
    await take(storage, tmp_path, *GROWN)
    state = await storage.load("chatgpt-abc")
    assert state is not None
    forked = fork_off(state, 3)
    edited = replace(forked, messages=(*forked.messages, Message("x", "assistant", "No.")))
    shown = switch(fork_off(switch(edited, long_id("u2")), 1), long_id("u1"))
    await storage.save("chatgpt-abc", shown)
    before = await texts(storage, "chatgpt-abc")
    (stored,) = await take(storage, tmp_path, *FIRST, said("a1b", "u1", "Rain."))
    assert stored.added == 1
    assert await texts(storage, "chatgpt-abc") == before


async def test_other_conversations_with_the_same_words_are_kept_apart(tmp_path: Path) -> None:
    storage = MemoryStorage()
    own = ChatState(messages=(Message("1", "user", "Why?"), Message("2", "assistant", "Rivers.")))
    await storage.save("own", own)
    (stored,) = await take(storage, tmp_path, *GROWN)
    assert stored.is_new and await storage.load("own") == settle(own, None)
    short = [node("1", None, "user", "Why?"), node("2", "1", "assistant", "Magic.")]
    (stored,) = await take(storage, tmp_path, *short, conversation_id=None)
    assert stored.is_new and stored.id != "own"


async def test_a_conversation_that_was_copied_there_is_a_separate_thread(tmp_path: Path) -> None:
    storage = MemoryStorage()
    await take(storage, tmp_path, *FIRST)
    for is_new in (True, False):
        (copied,) = await take(storage, tmp_path, *GROWN, conversation_id="copy")
        assert (copied.id, copied.is_new) == ("chatgpt-copy", is_new)
    assert await texts(storage, "chatgpt-abc") == ["Why?", "Rivers."]


LLM_ID = "01hx0123456789abcdefghjkmn"


def logged(path: Path, count: int, *, as_thread: bool) -> Path:
    """Make a log of llm with a conversation of `count` turns.

    With `as_thread` it became a thread, and the conversation lacks the last turn.
    """
    path.unlink(missing_ok=True)
    said = [(f"Question {n}\nwith two lines", f"Answer {n}") for n in range(count)]
    old = said[:-1] if as_thread else said
    database(
        path,
        LLM,
        conversations=[{"id": LLM_ID, "name": "Sea", "model": "gpt-4o"}],
        responses=[
            {"id": f"{LLM_ID}-{n}", "model": "gpt-4o", "prompt": prompt, "response": answer,
             "conversation_id": LLM_ID, "datetime_utc": f"2024-05-06T07:08:{n:02}"}
            for n, (prompt, answer) in enumerate(old)
        ],
    )  # fmt: skip
    if not as_thread:
        return path
    chain = [("system", "Be brief.")]
    for question, answer in said:  # with a tool call, which has no text, between them
        chain += [("user", question.replace("\n", " \n")), ("assistant", ""), ("assistant", answer)]
    hashes = [f"{n:064x}" for n in range(len(chain))]
    call = json.dumps({"name": "look", "arguments": {}, "tool_call_id": "t"})
    return database(
        path,
        LLM_THREADS,
        messages=[{"hash": each, "parent_hash": before, "role": role} for each, before, (role, _)
                  in zip(hashes, [None, *hashes[:-1]], chain, strict=True)],
        parts=[{"message_hash": each, "position": 0, "type": "text" if text else "tool_call",
                "text": text or None, "payload": None if text else call}
               for each, (_, text) in zip(hashes, chain, strict=True)],
        threads=[{"id": LLM_ID, "name": "Sea", "tip_message_hash": hashes[-1]}],
        turns=[{"id": "1", "thread_id": LLM_ID, "tip_message_hash": hashes[-1], "model": "gpt-5",
                "datetime_utc": "2024-05-07T07:08:10+00:00"}],
    )  # fmt: skip


async def test_report_16_a_conversation_of_llm_that_became_a_thread_is_extended(
    tmp_path: Path,
) -> None:
    """llm 0.32 continues a conversation as a thread, whose messages have other ids."""
    storage, path, thread_id = MemoryStorage(), tmp_path / "logs.db", f"llm-{LLM_ID}"

    async def add(count: int, *, as_thread: bool) -> tuple[bool, bool]:
        (thread,) = threads_in(logged(path, count, as_thread=as_thread))
        stored = await store_thread(storage, thread, SavedThreads(storage))
        assert stored.id == thread_id and await storage.list_threads() == [thread_id]
        return stored.is_new, stored.added > 0

    assert await add(2, as_thread=False) == (True, False)
    assert await add(2, as_thread=False) == (False, False)
    assert await add(3, as_thread=True) == (False, True)
    expected = [each for n in range(3) for each in (f"Question {n} with two lines", f"Answer {n}")]
    shown = [" ".join(each.split()) for each in await texts(storage, thread_id) if each]
    assert shown == expected
    assert await add(3, as_thread=True) == (False, False)
    assert await add(2, as_thread=False) == (False, False)  # an older copy of the log
    state = await storage.load(thread_id)
    assert state is not None
    mine = (*state.messages, Message("mine", "user", "And here?"))
    await storage.save(thread_id, replace(state, messages=mine))
    assert await add(3, as_thread=True) == (False, False)
    assert await add(4, as_thread=True) == (False, True)
    assert (await texts(storage, thread_id))[-1] == "And here?"
    assert await add(4, as_thread=True) == (False, False)


async def test_report_16_branches_keep_their_places_when_messages_get_other_ids() -> None:
    storage, thread_id = MemoryStorage(), f"llm-{LLM_ID}"
    first = ChatState(messages=turns("Why?", "So.", "And?", "Thus."))
    forked = fork_off(first, 1)
    both = replace(forked, messages=(*forked.messages, Message("x", "assistant", "No.")))
    await storage.save(thread_id, both)
    renamed = tuple(replace(each, id=f"new-{each.id}") for each in first.messages)
    later = (*renamed, Message("new-5", "user", "Sure?"))
    stored = await store_thread(
        storage, Thread(thread_id, ChatState(messages=later), {}, is_foreign=True)
    )
    assert (stored.id, stored.added) == (thread_id, 1)
    state = await storage.load(thread_id)
    assert state is not None and [each.content for each in state.messages] == ["Why?", "No."]
    other = switch(state, "m0")
    assert [each.content for each in other.messages] == ["Why?", "So.", "And?", "Thus.", "Sure?"]


async def test_report_16_another_conversation_with_a_used_number_is_not_mixed_in() -> None:
    """A new database of oterm or elia counts from 1 again, and may have the same first question."""
    storage = MemoryStorage()
    await storage.save("oterm-1", ChatState(messages=(Message("oterm-8", "user", "Hi"),)))
    thread = Thread("oterm-1", ChatState(messages=turns("Hi", "Hello.")), {}, is_foreign=True)
    for is_new in (True, False):
        stored = await store_thread(storage, thread, SavedThreads(storage))
        assert stored.is_new is is_new and stored.id != "oterm-1"


MORE: dict[Callable[[Path], Path], tuple[str, dict[str, object], str]] = {
    oterm: ("message", {"chat_id": 1, "author": "me"}, "text"),
    elia: ("message", {"chat_id": 7, "role": "user"}, "content"),
    llm: ("responses", {"conversation_id": "c1", "datetime_utc": "2025-01-01"}, "prompt"),
}


@pytest.mark.parametrize("make", list(MORE))
async def test_report_16_a_grown_database_extends_its_threads(
    tmp_path: Path, make: Callable[[Path], Path]
) -> None:
    storage, path = MemoryStorage(), make(tmp_path / "grown.db")
    table, row, column = MORE[make]

    async def add() -> list[Stored]:
        saved_threads = SavedThreads(storage)
        return [await store_thread(storage, each, saved_threads) for each in threads_in(path)]

    first = await add()
    for number in (100, 101):
        database(path, "", **{table: [{**row, "id": number, column: f"More {number}"}]})
        for added in (1, 0):
            stored = await add()
            assert [each.id for each in stored] == [each.id for each in first]
            assert sum(each.added for each in stored) == added
        assert (await texts(storage, first[0].id))[-1] == f"More {number}"


async def test_report_16_a_thread_without_id_and_messages_is_imported_once() -> None:
    storage = MemoryStorage()
    thread = Thread("", ChatState(state={"x": 1}), {})
    outcomes = [await store_thread(storage, thread, SavedThreads(storage)) for _ in range(3)]
    assert [each.is_new for each in outcomes] == [True, False, False]


def threads_in(path: Path) -> list[Thread]:
    return [each for each in read_threads(path) if isinstance(each, Thread)]


async def test_databases_add_nothing_twice(tmp_path: Path) -> None:
    storage, path = MemoryStorage(), oterm(tmp_path / "store.db")
    for is_new in (True, False):
        for thread in read_threads(path):
            assert isinstance(thread, Thread)
            stored = await store_thread(storage, thread, SavedThreads(storage))
            assert (stored.is_new, stored.added) == (is_new, 0)
