"""Failing system calls, storage contract case 9: every call of a save fails once."""

import errno
import gc
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from koel_tui.paths import DirectoryError
from koel_tui.protocol import ChatState
from koel_tui.storage import EncryptedFileStorage, StorageError
from koel_tui.storage.encryption.keys import KEY_BYTES
from koel_tui.storage.files.file_storage import FileStorage
from tests.hostile_summary import Tally
from tests.storage.files.journals import ASKED, answering, journal_every_size
from tests.storage.helpers import Clock, in_clear, saying, words

CALLS = (
    "chmod", "close", "fchmod", "fstat", "fsync", "ftruncate", "lstat", "mkdir", "open", "replace",
    "scandir", "stat", "unlink", "utime", "write",
)  # fmt: skip
OLD, NEW, LAST = saying("old"), saying("old", "new"), saying("old", "new", "last")
MANY = 500


class BareKey:
    """A key without a derivation, because these tests open hundreds of stores."""

    def make(self) -> tuple[bytes, dict[str, Any]]:
        return bytes(KEY_BYTES), {"kind": "bare"}

    def find(self, about: Mapping[str, Any]) -> bytes:
        return bytes(KEY_BYTES)

    def drop(self, about: Mapping[str, Any]) -> None:
        pass


def encrypted(folder: Path) -> EncryptedFileStorage:
    return EncryptedFileStorage(folder, key=BareKey(), clock=Clock())


STORES: dict[str, Callable[[Path], FileStorage]] = {"json": in_clear, "encrypted": encrypted}


class Faults:
    """Makes the k-th system call of the stores' worker threads fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, failing: int, code: int) -> None:
        self.count = 0
        self.failed = ""
        self._failing = failing
        self._code = code
        self._loop = threading.get_ident()
        for name in CALLS:
            monkeypatch.setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if threading.get_ident() == self._loop:
                return real(*arguments, **named)
            self.count += 1
            if self.count != self._failing:
                return real(*arguments, **named)
            self.failed = name
            if name == "close":
                real(*arguments)  # a failed close closes the descriptor anyway
            raise OSError(self._code, os.strerror(self._code))

        return call


async def attempt(
    store: FileStorage, state: ChatState, failing: int, code: int, *, is_progress: bool = False
) -> tuple[str, bool]:
    """Save while the k-th call fails; return the call, and whether the save raised an error."""
    gc.disable()  # the collection of a lock that a fault left open would add a call of `close`
    try:
        with pytest.MonkeyPatch.context() as monkeypatch:
            faults = Faults(monkeypatch, failing, code)
            try:
                await (store.save_progress if is_progress else store.save)("t", state)
            except (StorageError, DirectoryError):
                return faults.failed, True
            return faults.failed, False
    finally:
        gc.enable()


_NETWORK = [pytest.param(code, marks=pytest.mark.slow) for code in (errno.EDQUOT, errno.ESTALE)]


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EACCES, *_NETWORK])
@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("kind", STORES)
async def test_storage_case_09_no_failing_call_loses_data(
    tmp_path: Path, kind: str, opened: bool, code: int, tally: Tally
) -> None:
    refusals, tried = set(), []
    for failing in range(1, MANY):
        folder = tmp_path / str(failing)
        store = STORES[kind](folder)
        await store.save("t", OLD)
        if opened:
            assert (await store.open("t")).writable
        failed, refused = await attempt(store, NEW, failing, code)
        there = await STORES[kind](folder).load("t")
        assert there in ((OLD, NEW) if refused else (NEW,)), failed
        await store.save("t", NEW)
        await store.save("t", LAST)
        assert await STORES[kind](folder).load("t") == LAST, failed
        assert store.conflicts == (), failed
        assert temporary_files(folder) == [], failed
        tried.append(failed)
        if refused:
            refusals.add(failed)
        if not failed:
            break
    else:
        raise AssertionError("more system calls than there should be")
    assert refusals >= {"open", "write", "fsync", "replace"}, tried
    tally("failing system call", tried=len(tried) - 1)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, *_NETWORK])
@pytest.mark.parametrize("records", [0, 1])
@pytest.mark.parametrize("kind", STORES)
async def test_storage_case_09_no_failing_call_loses_data_of_the_journal(
    tmp_path: Path,
    kind: str,
    records: int,
    code: int,
    tally: Tally,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first record creates the journal; later records are appended."""
    journal_every_size(monkeypatch)
    before, after = answering("old" * records), answering("old and new")
    refusals, tried = set(), []
    for failing in range(1, MANY):
        folder = tmp_path / str(failing)
        store = STORES[kind](folder)
        assert (await store.open("t")).writable
        await store.save("t", ASKED)
        for _ in range(records):
            await store.save_progress("t", before)
        old = await STORES[kind](folder).load("t")
        failed, refused = await attempt(store, after, failing, code, is_progress=True)
        there = await STORES[kind](folder).load("t")
        new = [*words(ASKED), "old and new"]
        assert (there == old and refused) or words(there) == new, failed
        await store.save_progress("t", after)
        assert words(await STORES[kind](folder).load("t")) == new, failed
        await store.save_progress("t", answering("last"))
        assert words(await STORES[kind](folder).load("t"))[-1] == "last", failed
        await store.close("t")
        assert words(await STORES[kind](folder).load("t"))[-1] == "last", failed
        assert store.conflicts == () and temporary_files(folder) == [], failed
        tried.append(failed)
        if refused:
            refusals.add(failed)
        if not failed:
            break
    else:
        raise AssertionError("more system calls than there should be")
    assert refusals >= {"open", "write", "fsync"}, tried
    tally("failing system call", tried=len(tried) - 1)


@pytest.mark.parametrize("kind", STORES)
async def test_storage_case_09_no_failing_call_of_joining_a_journal_loses_data(
    tmp_path: Path, kind: str, tally: Tally, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal_every_size(monkeypatch)
    tried = []
    for failing in range(1, MANY):
        folder = tmp_path / str(failing)
        store = STORES[kind](folder)
        assert (await store.open("t")).writable
        await store.save("t", ASKED)
        await store.save_progress("t", answering("word"))
        with pytest.MonkeyPatch.context() as patched:
            faults = Faults(patched, failing, errno.EIO)
            await store.close("t")
        assert words(await STORES[kind](folder).load("t"))[-1] == "word", faults.failed
        await store.save("t", LAST)
        assert await STORES[kind](folder).load("t") == LAST, faults.failed
        assert store.conflicts == ()
        tried.append(faults.failed)
        if not faults.failed:
            break
    assert "fsync" in tried and not tried[-1]
    tally("failing system call", tried=len(tried) - 1)


def temporary_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".tmp")]


@pytest.mark.parametrize("kind", STORES)
async def test_storage_case_09_short_writes_are_finished(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:7])))
    store = STORES[kind](tmp_path)
    await store.save("t", NEW)
    assert await STORES[kind](tmp_path).load("t") == NEW
    tally("failing system call", tried=1)


@pytest.mark.parametrize("kind", STORES)
async def test_storage_case_09_two_failures_in_succession_lose_nothing(
    tmp_path: Path, kind: str, tally: Tally
) -> None:
    """The first failure comes after the rename, the second at any call."""
    tried = 0
    for first in range(1, MANY):
        folder = tmp_path / str(first)
        store = STORES[kind](folder)
        await store.save("t", OLD)
        failed, refused = await attempt(store, NEW, first, errno.EIO)
        if not failed:
            break
        if not refused:
            continue
        await attempt(store, NEW, first // 2 + 1, errno.EIO)
        await store.save("t", LAST)
        assert await STORES[kind](folder).load("t") == LAST
        assert store.conflicts == ()
        tried += 1
    tally("failing system call", tried=tried)
