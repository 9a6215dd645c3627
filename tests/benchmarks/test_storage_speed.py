"""The time to list ten thousand threads, and to save and load one long thread. Run alone."""

import asyncio
import json
import math
import os
import random
import time
from collections.abc import Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from koel_tui.protocol import ChatState, Message, OpenMessage, RunPhase, encode_state
from koel_tui.storage import MemoryStorage
from koel_tui.storage.encryption.encrypted_codec import FileEncryptor
from koel_tui.storage.encryption.key_file import read_key_file
from koel_tui.storage.files.file_codec import FileEncoding, UnencryptedCodec
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.thread_head import Outline
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


def awaited(call: Callable[..., Coroutine[Any, Any, object]], *arguments: Any) -> float:
    """Return the seconds that a coroutine takes, without starting and closing its event loop."""

    async def measure() -> float:
        begin = time.perf_counter()
        await call(*arguments)
        return time.perf_counter() - begin

    return asyncio.run(measure())


def sizes(count: int) -> list[int]:
    """Return sizes of threads in bytes: 1 KB to 5 MB, median 10 KB, in total 250 MB for 10,000."""
    chance = random.Random(1)
    found = [min(max(int(chance.lognormvariate(math.log(10e3), 1.37)), 1000), 5_000_000)
             for _ in range(count)]  # fmt: skip
    found[0] = 5_000_000
    return found


def fill(folder: Path, kind: str, count: int = THREADS) -> int:
    """Write the files as the store does, but without a flush to the disk after each.

    Return the number of bytes.
    """
    asyncio.run(FILE_STORES[kind](folder).save("thread 0", ChatState()))
    form: FileEncoding = UnencryptedCodec(folder)
    key = read_key_file(folder)
    if key is not None:
        form = FileEncryptor(key.unwrap(passphrase()), key.name)
    written = 0
    for number, size in enumerate(sizes(count)):
        thread_id = f"thread {number}"
        state = conversation(max(size // 260, 2))
        header = Header(thread_id).for_save(MOMENT)
        text = encode_record(header, Outline.of_state(state), encode_state(state)).encode("ascii")
        stem = form.stem(thread_id)
        written += (folder / f"{stem}{form.suffix}").write_bytes(form.encode(stem, text))
    return written


@pytest.mark.parametrize("kind", FILE_STORES)
def test_listing_ten_thousand_threads(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "threads"
    written = fill(folder, kind)
    print(f"\n{kind}: {THREADS} threads, {written / 1e6:.0f} MB")

    def read_everything() -> None:
        for path in folder.glob("t-*"):
            with path.open("rb") as file:
                file.read(4096)

    def listed(limit: int | None) -> float:
        storage: FileStorage = FILE_STORES[kind](folder)
        asyncio.run(storage.meta("none"))  # asks for the key before the measurement
        return awaited(storage.summaries, limit)

    reading = median([seconds(read_everything) for _ in range(ROUNDS)])
    first = median([listed(SCREEN) for _ in range(ROUNDS)])
    every = median([listed(None) for _ in range(ROUNDS)])
    storage = FILE_STORES[kind](folder)
    asyncio.run(storage.summaries())
    again = median([awaited(storage.summaries) for _ in range(ROUNDS)])
    bare = "reading 4 KB of every file"
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
    header = Header("t").for_save(MOMENT)
    text = encode_record(header, Outline.of_state(state), encode_state(state))
    wire = json.loads(text)
    first, again, bare, loading, parsing = [], [], [], [], []
    for _ in range(ROUNDS * 3):
        bare.append(seconds(lambda: bare_save(tmp_path / "bare.json", wire)))
        asyncio.run(storage.close("t"))  # the first save of a tab encodes every message
        asyncio.run(storage.open("t"))
        first.append(awaited(storage.save, "t", state))
        again.append(awaited(storage.save, "t", state))
        parsing.append(seconds(lambda: json.loads((tmp_path / "bare.json").read_bytes())))
        loading.append(awaited(storage.load, "t"))
    print()
    size = f"{len(text) / 1e6:.1f} MB"
    bare_words = "json.dumps and fsync"
    print(line(f"{kind}: save {size}, first", median(first), median(bare), "s", bare_words))
    print(line(f"{kind}: save {size}, again", median(again), median(bare), "s", bare_words))
    print(line(f"{kind}: load {size}", median(loading), median(parsing), "s", "json.loads"))


@pytest.mark.parametrize("kind", FILE_STORES)
def test_new_metadata_of_a_thread_of_ten_thousand_messages(tmp_path: Path, kind: str) -> None:
    folder, state = tmp_path / "threads", conversation(10_000)
    asyncio.run(FILE_STORES[kind](folder).save("t", state))

    async def rename(storage: FileStorage, title: str) -> float:
        begin = time.perf_counter()
        await storage.update_meta("t", title=title)
        return time.perf_counter() - begin

    open_storage, unloaded, loaded, bare = FILE_STORES[kind](folder), [], [], []
    asyncio.run(open_storage.load("t"))
    for number in range(ROUNDS * 3):
        other = FILE_STORES[kind](folder)
        asyncio.run(other.meta("none"))  # asks for the key before the measurement
        loaded.append(asyncio.run(rename(open_storage, f"Loaded {number}")))
        asyncio.run(open_storage.load("t"))
        unloaded.append(asyncio.run(rename(other, f"Title {number}")))
        asyncio.run(open_storage.load("t"))
        bare.append(seconds(lambda: bare_append(tmp_path / "bare")))
    print()
    against = "append and fsync"
    print(line(f"{kind}: title, loaded", median(loaded), median(bare), "s", against, "0.02"))
    print(line(f"{kind}: title, not loaded", median(unloaded), median(bare), "s", against, "0.02"))


def bare_append(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"x" * 500)
        file.flush()
        os.fsync(file.fileno())


@pytest.mark.parametrize("kind", FILE_STORES)
def test_bytes_written_while_an_answer_is_written(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of 100 tokens a second is saved once a second in a thread of 10,000 messages."""
    written = [0]
    real = os.write

    def counting(descriptor: int, data: bytes) -> int:
        done = real(descriptor, data)
        written[0] += done
        return done

    state, piece = conversation(10_000), "Once upon a time, there was a \u2603. " * 12
    answer, times = OpenMessage.of(Message("a", "assistant")), []

    async def stream(storage: FileStorage) -> None:
        nonlocal answer
        await storage.open("t")
        await storage.save("t", state)
        monkeypatch.setattr(os, "write", counting)
        for _ in range(60):
            answer = answer.append(piece)
            growing = replace(state, open_messages=(answer,), phase=RunPhase.RUNNING)
            begin = time.perf_counter()
            await storage.save_progress("t", growing)
            times.append(time.perf_counter() - begin)
        monkeypatch.undo()

    asyncio.run(stream(FILE_STORES[kind](tmp_path / "threads")))
    text = len(piece.encode())
    print()
    limit = f"{(4 * text + 64 * 1024) / 1e3:.0f}"
    print(line(f"{kind}: written in a second", written[0] / 60e3, text / 1e3, "KB", "text", limit))
    bare = median([seconds(lambda: bare_append(tmp_path / "bare")) for _ in range(15)])
    print(line(f"{kind}: a save", median(times), bare, "s", "append and fsync"))
    assert written[0] / 60 <= 4 * text + 64 * 1024
