"""The time to index ten thousand threads first, and to search in the index. Run alone."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import JsonFileStorage
from koel_tui.storage.files.file_codec import UnencryptedCodec
from koel_tui.storage.search.thread_index import ThreadIndex, index_file
from koel_tui.storage.thread_head import Outline
from koel_tui.storage.thread_record import Header, encode_chat_state, encode_record
from tests.benchmarks.report import median
from tests.storage.helpers import MOMENT

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]
THREADS, MESSAGES, WORDS, VOCABULARY = 10_000, 50, 30, 30_000
ROUNDS = 5
QUERIES = {"a rare word": 20_000, "a common word": 0, "two common words": 1}


def vocabulary(chance: random.Random) -> list[str]:
    """Return random words with the distribution of a language: a few frequent, most rare."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return ["".join(chance.choices(letters, k=chance.randint(3, 9))) for _ in range(VOCABULARY)]


def fill(folder: Path, words: list[str], chance: random.Random) -> None:
    folder.mkdir(mode=0o700)
    codec = UnencryptedCodec(folder)
    said = chance.choices(words, [1 / (rank + 1) for rank in range(len(words))], k=1_000_000)
    for number in range(THREADS):
        messages = []
        for place in range(MESSAGES):
            start = chance.randrange(len(said) - WORDS)
            text = " ".join(said[start : start + WORDS])
            messages.append(Message(str(place), ("user", "assistant")[place % 2], text, MOMENT))
        state = encode_chat_state(str(number), ChatState(messages=tuple(messages)))
        record = encode_record(Header(str(number)).for_save(MOMENT), Outline(), state)
        (folder / f"{codec.stem(str(number))}.json").write_text(record)


def timed(index: ThreadIndex, query: str) -> tuple[float, int]:
    begin = time.perf_counter()
    hits = asyncio.run(index.search(query))
    return time.perf_counter() - begin, len(hits)


def test_ten_thousand_threads(tmp_path: Path) -> None:
    chance = random.Random(1)
    words = vocabulary(chance)
    fill(tmp_path / "threads", words, chance)
    storage = JsonFileStorage(tmp_path / "threads")
    index = ThreadIndex(storage, tmp_path / "cache")
    begin = time.perf_counter()
    asyncio.run(index.refresh())
    built = time.perf_counter() - begin
    size = index_file(tmp_path / "cache", tmp_path / "threads").stat().st_size / 1e6
    print(f"\nfirst index of {THREADS} threads of {MESSAGES}: {built:.1f} s, {size:.0f} MB")
    asyncio.run(storage.update_meta("1", title="changed"))
    asyncio.run(index.refresh())
    again = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        asyncio.run(index.refresh())
        again.append(time.perf_counter() - begin)
    print(f"refresh when nothing has changed: {median(again):.3f} s")
    queries = {name: words[rank] for name, rank in QUERIES.items()}
    queries["two common words"] += " " + words[0]
    queries["two letters"] = words[0][:2]
    queries["one letter"] = words[0][:1]
    slowest = 0.0
    for name, query in queries.items():
        rounds = [timed(index, query) for _ in range(ROUNDS)]
        seconds = median([seconds for seconds, _ in rounds])
        slowest = max(slowest, seconds)
        print(f"search for {name}: {seconds:.3f} s, {rounds[0][1]} hits, refresh included")
    # The reference is the time to read the whole directory, measured in the same run.
    assert built <= 60, "the first index"
    assert slowest < built / 10, "a search is no faster than reading everything"
