"""Search over all threads: its results, damaged threads and indexes, and secrets in files."""

import asyncio
import re
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.search.thread_index import Hit, ThreadIndex, index_file
from tests.storage.helpers import file_name, in_clear, saying


def places(hits: list[Hit]) -> list[tuple[str, str]]:
    return [(hit.thread_id, hit.message_id) for hit in hits]


async def test_a_message_is_found_with_its_thread(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    await store.save("sea", saying("Where is the harbour?", "Down the hill, past the church."))
    await store.update_meta("sea", title="A walk")
    await store.save("wood", saying("Which trees grow here?"))
    (hit,) = await index.search("church hill")
    assert (hit.thread_id, hit.title, hit.message_id, hit.role) == (
        "sea",
        "A walk",
        "1",
        "assistant",
    )
    assert hit.snippet == "Down the hill, past the church."
    assert [hit.snippet[begin:end] for begin, end in hit.spans] == ["hill", "church"]
    assert hit.updated == (await store.summaries())[1].updated


async def test_a_find_uses_the_index_without_reading_new_threads(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    await store.save("old", saying("An old owl"))
    await index.refresh()
    await store.save("new", saying("A new owl"))
    assert places(await index.find("owl")) == [("old", "0")]
    assert len(await index.search("owl")) == 2


async def test_two_concurrent_refreshes_read_each_thread_once(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    for n in range(40):
        await store.save(str(n), saying("owl"))
    read: list[int] = []
    note = lambda done, total: read.append(done)  # noqa: E731
    await asyncio.gather(index.refresh(note), index.refresh(note), index.search("owl"))
    assert read == [32, 40]


async def test_a_search_finds_titles(store: JsonFileStorage, index: ThreadIndex) -> None:
    await store.save("t", saying("hello"))
    await store.update_meta("t", title="Cats of Istanbul")
    (hit,) = await index.search("istanbul")
    assert (hit.role, hit.message_id, hit.snippet) == ("title", "", "Cats of Istanbul")


async def test_a_search_finds_thinking(store: JsonFileStorage, index: ThreadIndex) -> None:
    message = Message("m", "assistant", "42", reasoning="The meaning of everything")
    await store.save("t", ChatState(messages=(message,)))
    assert places(await index.search("meaning")) == [("t", "m")]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("HARBOUR", True),
        ("harb", True),
        ("arbour", True),
        ("ar", False),
        ("café", True),
        ("cafe", True),
        ("harb café", True),
        ("xharb café", False),
        ("图书", True),
        ("書館", False),
        ("书馆在", True),
        ("ไทย", True),
        ("", False),
        ("   ", False),
        ("!?", False),
    ],
)
async def test_a_search_finds_words_prefixes_and_scripts_without_spaces(
    store: JsonFileStorage, index: ThreadIndex, query: str, found: bool
) -> None:
    await store.save("t", saying("The harbour café. 图书馆在哪里? ภาษาไทย"))
    hits = await index.search(query)
    assert bool(hits) is found
    assert not hits or "图书馆在哪里" in hits[0].snippet


async def test_the_better_hit_comes_first_and_the_limit_is_respected(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    await store.save("much", saying("owl owl owl"))
    await store.save("little", saying("an owl among " + "many other words " * 20))
    assert places(await index.search("owl")) == [("much", "0"), ("little", "0")]
    assert places(await index.search("owl", limit=1)) == [("much", "0")]


@pytest.mark.parametrize(
    "query",
    ['"', "'", "*", "a*", "NOT", "a AND", "(", "text:a", "a-b", "^a", "{a}", "a\0b", "\ud83d",
     "NEAR(a b)"],
)  # fmt: skip
async def test_nothing_in_a_query_is_syntax(
    store: JsonFileStorage, index: ThreadIndex, query: str
) -> None:
    await store.save("t", saying(f"say {query} now"))
    hits = await index.search(query)
    assert bool(hits) is (query not in ('"', "'"))


async def test_strange_ids_and_texts_come_back_as_they_were(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    odd = "\ud83d\0\x1b[31m\x02\x1f"
    await store.save(odd, ChatState(messages=(Message(odd, odd, f"here {odd} there"),)))
    (hit,) = await index.search("there")
    assert (hit.thread_id, hit.message_id, hit.role) == (odd, odd, odd)


async def test_only_changed_threads_are_read_again(
    store: JsonFileStorage, index: ThreadIndex, tmp_path: Path
) -> None:
    for name in ("one", "two", "three"):
        await store.save(name, saying(f"owl {name}"))
    assert len(await index.search("owl")) == 3
    reads: list[int] = []
    await index.refresh(lambda done, total: reads.append(done))
    assert reads == []
    await store.save("one", saying("raven"))
    await store.delete("two")
    assert places(await index.search("owl")) == [("three", "0")]
    assert places(await index.search("raven")) == [("one", "0")]
    again = ThreadIndex(store, tmp_path / "cache")
    await again.refresh(lambda done, total: reads.append(done))
    assert reads == []
    assert len(await again.search("three")) == 1


async def test_progress_is_reported_and_a_cancelled_refresh_resumes_later(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    for number in range(80):
        await store.save(str(number), saying(f"owl {number}"))
    reported: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        reported.append((done, total))
        task.cancel()

    task = asyncio.create_task(index.refresh(stop))
    with pytest.raises(asyncio.CancelledError):
        await task
    assert reported == [(32, 80)]
    await index.refresh(lambda done, total: reported.append((done, total)))
    assert reported[1] in [(64, 80), (80, 80)]
    assert len(await index.search("owl", limit=100)) == 80


async def test_the_event_loop_keeps_running_while_the_index_reads_threads(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    for number in range(40):
        await store.save(str(number), saying("owl"))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    await index.search("owl")
    counting.cancel()
    assert turns > 10


async def test_damaged_and_foreign_files_are_left_out(
    store: JsonFileStorage, index: ThreadIndex, tmp_path: Path
) -> None:
    await store.save("good", saying("owl"))
    folder = tmp_path / "threads"
    (folder / file_name("bad")).write_text('{"format":"koel-chat/thread","schema":1,"id":"owl')
    (folder / file_name("swapped")).write_bytes((folder / file_name("good")).read_bytes())
    (folder / "notes.json").write_text('"owl"')
    (folder / file_name("link")).symlink_to(folder / file_name("good"))
    for _ in range(2):
        assert places(await index.search("owl")) == [("good", "0")]
    assert store.damaged == ()


async def test_a_thread_that_cannot_be_read_now_is_read_later(
    store: JsonFileStorage, index: ThreadIndex, tmp_path: Path
) -> None:
    await store.save("t", saying("owl"))
    path = tmp_path / "threads" / file_name("t")
    data = path.read_bytes()
    path.unlink()
    path.mkdir()
    assert await index.search("owl") == []
    path.rmdir()
    path.write_bytes(data)
    assert places(await index.search("owl")) == [("t", "0")]


# Comparison with a scan of the plain text

words = st.text(st.sampled_from("aAbB1漢字 .-\"*'"), max_size=8)
_TOKEN = re.compile(r"[a-z0-9]+|[漢字.*-]")


def tokens(text: str) -> list[str]:
    return _TOKEN.findall(text.lower())


def fits(said: list[str], asked: list[str]) -> bool:
    """Return whether consecutive tokens match a word; a partial match needs 2 or 3 letters."""
    first, last = asked[0], asked[-1]
    is_part = len(first) >= 3
    if len(asked) == 1 and is_part and first in said[0]:
        return True
    begin = said[0] == first or (len(asked) > 1 and is_part and said[0].endswith(first))
    is_prefix = len(last) > 1 and said[-1].startswith(last)
    if len(asked) == 1:
        return begin or is_prefix
    return begin and said[1:-1] == asked[1:-1] and (said[-1] == last or is_prefix)


def is_said(text: str, query: str) -> bool:
    """Return whether the text contains each word of the query, or a word that contains it."""
    words = [word.lstrip("\"'").rstrip("\"'.") or word for word in query.split()]
    asked = [found for word in words if (found := tokens(word))]
    said = tokens(text)
    return bool(asked) and all(
        any(
            len(piece) == len(word) and fits(piece, word)
            for start in range(len(said))
            for piece in [said[start : start + len(word)]]
        )
        for word in asked
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(words, max_size=6), st.lists(words, min_size=1, max_size=4))
async def test_search_agrees_with_a_plain_scan(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], queries: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("corpus")
    store = in_clear(folder / "threads")
    await store.save("t", saying(*texts))
    index = ThreadIndex(store, folder / "cache")
    for query in queries:
        found = {hit.message_id for hit in await index.search(query)}
        assert found == {str(place) for place, text in enumerate(texts) if is_said(text, query)}, (
            query
        )
    await index.close()


async def test_a_whole_word_comes_before_a_part_of_one(
    store: JsonFileStorage, index: ThreadIndex
) -> None:
    await store.save("part", saying("airport"))
    await store.save("whole", saying("a long text about some port and other words"))
    await store.save("last", saying("airport"))
    assert (await index.search("port"))[0].thread_id == "whole"


async def test_words_of_a_deleted_thread_leave_the_index(
    store: JsonFileStorage, index: ThreadIndex, tmp_path: Path
) -> None:
    await store.save("a", saying("airport secretword"))
    await store.save("b", saying("airport"))
    await index.refresh()
    await store.delete("a")
    await store.save("b", saying("airport harbour"))
    await index.refresh()
    await index.close()
    with sqlite3.connect(index_file(tmp_path / "cache", tmp_path / "threads")) as connection:
        words = [row[0] for row in connection.execute("SELECT word FROM words")]
    connection.close()
    assert words == ["airport", "harbour"]
