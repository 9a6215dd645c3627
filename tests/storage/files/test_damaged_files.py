"""Damaged files: each one loads or is moved to quarantine, and is not overwritten."""

import os
import random
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from koel_tui.storage import StorageError
from koel_tui.storage.encryption.encrypted_codec import EncryptedCodec
from koel_tui.storage.files import safe_open
from koel_tui.storage.files.file_codec import Codec, UnencryptedCodec
from koel_tui.storage.files.thread_directory import ThreadDirectory
from koel_tui.storage.migration import MIGRATIONS
from tests.hostile_summary import Tally
from tests.storage.helpers import Clock, passphrase, saying

MUTATIONS = 600
ALL_MUTATIONS = 5000
CODECS: dict[str, Callable[[Path], Codec]] = {
    "json": UnencryptedCodec,
    "encrypted": lambda folder: EncryptedCodec(folder, passphrase()),
}


@pytest.fixture(autouse=True)
def unflushed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the flushes: these tests only read, and thousands of flushes would be slow."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture(params=CODECS)
def threads(request: pytest.FixtureRequest, tmp_path: Path) -> ThreadDirectory:
    folder = tmp_path / "threads"
    return ThreadDirectory(folder, CODECS[request.param](folder), Clock(), MIGRATIONS)


def mutations(good: bytes, seed: int) -> Iterator[bytes]:
    """Yield variants of a valid file: bytes changed, cut, doubled or moved, and JSON words."""
    chance = random.Random(seed)
    words = [b"null", b"[]", b"{}", b'""', b"1e999", b"NaN", b"-1", b"true", b"\\ud83d", b"\xff"]
    while True:
        data = bytearray(good)
        for _ in range(chance.randint(1, 3)):
            at, size = chance.randrange(len(data) or 1), chance.randint(1, 40)
            match chance.randrange(6):
                case 0:
                    data[at : at + 1] = bytes([chance.randrange(256)])
                case 1:
                    data[at : at + 1] = bytes(
                        [data[at] ^ (1 << chance.randrange(8))] if data else b""
                    )
                case 2:
                    del data[at : at + size]
                case 3:
                    data[at:at] = data[at : at + size]
                case 4:
                    data[at : at + size] = chance.choice(words)
                case _:
                    del data[at:]
        yield bytes(data)


def check(threads: ThreadDirectory, path: Path, data: bytes) -> bool:
    """Load a damaged file and check the storage contract. Return whether the file loaded."""
    path.write_bytes(data)
    try:
        state = threads.load("t")
        threads.summaries()
    except StorageError as error:
        assert "newer" in str(error)  # only the schema number was changed
        return True
    damaged = [found for found in threads.quarantine.damaged if found.path == path]
    if state is None:
        (report,) = damaged
        assert report.copy is not None and report.copy.read_bytes() == data
        report.copy.unlink()
        with pytest.raises(StorageError):
            threads.save("t", saying("new"))
    assert path.read_bytes() == data
    return state is not None


def test_mutated_files_load_or_are_quarantined(threads: ThreadDirectory, tally: Tally) -> None:
    mutate(threads, MUTATIONS, 1)
    tally("damaged thread file", tried=MUTATIONS)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ten_thousand_mutated_files_load_or_are_quarantined(
    threads: ThreadDirectory, tally: Tally
) -> None:
    mutate(threads, ALL_MUTATIONS, 2)
    tally("damaged thread file", tried=ALL_MUTATIONS)


def mutate(threads: ThreadDirectory, count: int, seed: int) -> None:
    """Load `count` mutations of a thread, then the undamaged thread."""
    threads.save("t", saying("first question", "first answer ☃", "x" * 300))
    path = threads.thread_path("t")
    good = path.read_bytes()
    loaded = 0
    changed = mutations(good, seed)
    for _ in range(count):
        loaded += check(threads, path, next(changed))
    assert 0 <= loaded < count
    path.write_bytes(good)
    assert threads.load("t") is not None
    assert threads.quarantine.damaged == ()


@pytest.mark.parametrize(
    "length", [0, pytest.param(2500, marks=[pytest.mark.slow, pytest.mark.timeout(600)])]
)
def test_a_file_truncated_at_any_byte_is_quarantined(
    threads: ThreadDirectory, length: int, tally: Tally
) -> None:
    threads.save("t", saying("first question", "first answer " + "x" * length))
    path = threads.thread_path("t")
    good = path.read_bytes()
    for size in range(len(good)):
        assert not check(threads, path, good[:size])
    tally("damaged thread file", tried=len(good))


def test_a_file_that_is_too_large_is_reported_and_not_changed(
    threads: ThreadDirectory, tally: Tally
) -> None:
    threads.save("large", saying("hi"))
    threads.save("other", saying("hello"))
    path = threads.thread_path("large")
    os.truncate(path, safe_open.MAX_BYTES + 1)  # a sparse file: it uses no disk space
    tracemalloc.start()
    with pytest.raises(StorageError, match=r"larger than 256 MB and is not read\. Move it away"):
        threads.load("large")
    with pytest.raises(StorageError, match="larger than 256 MB"):
        threads.save("large", saying("new"))
    assert [each.id for each in threads.summaries()] == ["other"]
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2**20
    assert path.stat().st_size == safe_open.MAX_BYTES + 1
    assert [str(each.path) for each in threads.quarantine.damaged] == [str(path)]
    assert not (threads.path / "quarantine").exists()
    assert threads.load("other") == saying("hello")
    tally("damaged thread file", tried=1)


def test_a_thread_that_is_too_large_to_read_is_not_written(
    threads: ThreadDirectory, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    threads.save("t", saying("hi"))
    before = threads.thread_path("t").read_bytes()
    monkeypatch.setattr(safe_open, "MAX_BYTES", 5000)
    with pytest.raises(StorageError, match=r"'t' was not saved: .* continue in a new thread"):
        threads.save("t", saying("hi", "x" * 5000))
    assert threads.thread_path("t").read_bytes() == before
    threads.save("t", saying("hi", "short"))
    tally("damaged thread file", tried=1)


def test_storage_case_11_any_flipped_bit_of_an_encrypted_file_is_detected(
    tmp_path: Path, tally: Tally
) -> None:
    threads = ThreadDirectory(tmp_path, EncryptedCodec(tmp_path, passphrase()), Clock(), MIGRATIONS)
    threads.save("t", saying("hi"))
    path = threads.thread_path("t")
    good = path.read_bytes()
    for place in range(len(good)):
        flipped = bytearray(good)
        flipped[place] ^= 1 << place % 8
        assert not check(threads, path, bytes(flipped)) or threads.load("t") == saying("hi")
    tally("passphrase", tried=len(good))


names = st.one_of(st.text(), st.text(st.characters(codec=None), max_size=40))


@given(names, names)
def test_any_id_has_its_own_file_name(one: str, other: str) -> None:
    codec = UnencryptedCodec(Path())
    for stem in (codec.stem(one), codec.stem(other)):
        assert Path(stem).name == stem and stem.isascii() and len(stem) == 34
    assert (codec.stem(one) == codec.stem(other)) == (one == other)
