"""The time to list ten thousand threads, and to save and load one long thread. Run alone."""

import asyncio
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from koel_tui.protocol import ChatState, Message, encode_state
from koel_tui.storage import MemoryStorage
from koel_tui.storage.encryption.encrypted_codec import FileEncryptor
from koel_tui.storage.encryption.key_file import read_key_file
from koel_tui.storage.files.file_codec import FileEncoding, UnencryptedCodec
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.thread_record import Header, encode_record
from tests.benchmarks.report import line, median
from tests.storage.helpers import FILE_STORES, passphrase

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(300)]
MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
THREADS = 10_000
ROUNDS = 5
SCREEN = 50


def conversation(messages: int) -> ChatState:
    roles = ("user", "assistant")
    return ChatState(
        messages=tuple(
            Message(f"m{number}", roles[number % 2], f"Said as number {number}. " * 7, MOMENT)
            for number in range(messages)
        )
    )


def seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def fill(folder: Path, kind: str) -> None:
    """Write the files as the store would, without waiting for the disk after each."""
    asyncio.run(FILE_STORES[kind](folder).save("thread 0", ChatState()))
    form: FileEncoding = UnencryptedCodec(folder)
    key = read_key_file(folder)
    if key is not None:
        form = FileEncryptor(key.unwrap(passphrase()), key.name)
    state = encode_state(conversation(50))
    for number in range(THREADS):
        thread_id = f"thread {number}"
        text = encode_record(Header(thread_id).for_save(MOMENT), state).encode("ascii")
        stem = form.stem(thread_id)
        (folder / f"{stem}{form.suffix}").write_bytes(form.encode(stem, text))


@pytest.mark.parametrize("kind", FILE_STORES)
def test_listing_ten_thousand_threads(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "threads"
    fill(folder, kind)

    def read_everything() -> None:
        for path in folder.glob("t-*"):
            json.loads(path.read_bytes().partition(b"\n")[0])  # of a sealed file what is JSON

    def listed(limit: int | None) -> float:
        storage: FileStorage = FILE_STORES[kind](folder)
        asyncio.run(storage.meta("none"))  # asks for the key, which costs what it must
        return seconds(lambda: asyncio.run(storage.summaries(limit)))

    reading = median([seconds(read_everything) for _ in range(ROUNDS)])
    first = median([listed(SCREEN) for _ in range(ROUNDS)])
    every = median([listed(None) for _ in range(ROUNDS)])
    storage = FILE_STORES[kind](folder)
    asyncio.run(storage.summaries())
    again = median([seconds(lambda: asyncio.run(storage.summaries())) for _ in range(ROUNDS)])
    bare = "reading every file and its JSON"
    print()
    print(line(f"{kind}: first screen of {THREADS} threads", first, reading, "s", bare))
    print(line(f"{kind}: all {THREADS} threads", every, reading, "s", bare))
    print(line(f"{kind}: all {THREADS} threads again", again, reading, "s", bare))


def bare_save(path: Path, wire: object) -> None:
    with path.open("w") as file:
        file.write(json.dumps(wire, separators=(",", ":")))
        file.flush()
        os.fsync(file.fileno())


@pytest.mark.parametrize("kind", FILE_STORES)
def test_a_thread_of_ten_thousand_messages(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "threads"
    storage, state = FILE_STORES[kind](folder), conversation(10_000)
    asyncio.run(storage.save("t", state))
    memory = MemoryStorage()
    asyncio.run(memory.save("t", state))
    text = encode_record(Header("t").for_save(MOMENT), encode_state(state))
    wire = json.loads(text)
    first, again, bare, loading, parsing = [], [], [], [], []
    for _ in range(ROUNDS * 3):
        bare.append(seconds(lambda: bare_save(tmp_path / "bare.json", wire)))
        asyncio.run(storage.close("t"))  # the first save of a tab encodes every message
        asyncio.run(storage.open("t"))
        first.append(seconds(lambda: asyncio.run(storage.save("t", state))))
        again.append(seconds(lambda: asyncio.run(storage.save("t", state))))
        parsing.append(seconds(lambda: json.loads((tmp_path / "bare.json").read_bytes())))
        loading.append(seconds(lambda: asyncio.run(storage.load("t"))))
    print()
    size = f"{len(text) / 1e6:.1f} MB"
    bare_words = "json.dumps and fsync"
    print(line(f"{kind}: save {size}, first", median(first), median(bare), "s", bare_words))
    print(line(f"{kind}: save {size}, again", median(again), median(bare), "s", bare_words))
    print(line(f"{kind}: load {size}", median(loading), median(parsing), "s", "json.loads"))
