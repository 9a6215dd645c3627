"""Encryption and decryption of a directory in place, with interruptions."""

import asyncio
import errno
import json
import os
import signal
import time
from pathlib import Path

import pytest

from koel_tui.protocol import ChatState
from koel_tui.storage import (
    EncryptedThreadsError,
    JsonFileStorage,
    StorageError,
    ThreadLockedError,
    WrongPassphraseError,
    decrypt_threads,
    encrypt_threads,
)
from koel_tui.storage.encryption.key_file import Stage, WrappedKey, read_key_file, write_key_file
from tests.hostile_summary import Tally
from tests.storage.helpers import encrypted, file_name, in_clear, passphrase, saying
from tests.storage.worker import start

THREADS = {f"secret {number}": saying(f"secret words {number}") for number in range(6)}
TIMEOUT_S = 60


async def fill(folder: Path) -> None:
    storage = in_clear(folder)
    for name, state in THREADS.items():
        await storage.save(name, state)
    await storage.save("thrown away", saying("secret rubbish"))
    await storage.trash("thrown away")


async def contents(storage: JsonFileStorage) -> dict[str, ChatState | None]:
    return {name: await storage.load(name) for name in sorted(await storage.list_threads())}


def everything(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())


async def check_encrypted(folder: Path) -> None:
    storage = encrypted(folder)
    assert {name: await storage.load(name) for name in await storage.list_threads()} == THREADS
    assert [found.id for found in await storage.trashed()] == ["thrown away"]
    assert b"secret" not in everything(folder)
    assert list(folder.rglob("t-*.json")) == []


async def check_in_clear(folder: Path) -> None:
    assert await contents(in_clear(folder)) == THREADS
    assert [found.id for found in await in_clear(folder).trashed()] == ["thrown away"]
    assert list(folder.rglob("*.sealed")) == []
    assert not (folder / "keys.json").exists()


async def test_a_directory_is_encrypted_and_decrypted_again(folder: Path) -> None:
    await fill(folder)
    order = [found.id for found in await in_clear(folder).summaries(3)]
    assert encrypt_threads(folder, passphrase()) == 7
    await check_encrypted(folder)
    assert [found.id for found in await encrypted(folder).summaries(3)] == order
    assert encrypt_threads(folder, passphrase()) == 0
    assert decrypt_threads(folder, passphrase()) == 7
    await check_in_clear(folder)
    assert decrypt_threads(folder, passphrase()) == 0


async def test_damaged_threads_are_encrypted_too_and_decrypted_byte_for_byte(
    folder: Path,
) -> None:
    await fill(folder)
    damaged = b'{"secret": "half of a thr'
    (folder / file_name("damaged")).write_bytes(damaged)
    await in_clear(folder).summaries()  # copies the damaged file to quarantine
    encrypt_threads(folder, passphrase())
    await check_encrypted(folder)
    storage = encrypted(folder)
    await storage.save("torn", saying("x"))
    torn = min(set(folder.glob("t-*.sealed")), key=lambda path: -path.stat().st_mtime_ns)
    torn.write_bytes(torn.read_bytes()[:-5])
    cut = torn.read_bytes()
    decrypt_threads(folder, passphrase())
    left = {path.read_bytes() for path in (folder / "quarantine").iterdir()}
    assert damaged in left and cut in left
    assert len(list((folder / "quarantine").glob("keys-*.json"))) == 1
    assert await contents(in_clear(folder)) == THREADS


async def test_other_copies_of_a_thread_follow_it(folder: Path) -> None:
    one, other = in_clear(folder), in_clear(folder)
    await one.save("t", saying("base"))
    await other.save("t", saying("secret conflict"))
    (conflict_file,) = folder.glob("*.conflict-1.json")
    before = conflict_file.read_bytes()
    encrypt_threads(folder, passphrase())
    assert b"secret" not in everything(folder)
    assert len(list(folder.glob("*.conflict-1.sealed"))) == 1
    decrypt_threads(folder, passphrase())
    assert conflict_file.read_bytes() == before


async def test_a_wrong_passphrase_decrypts_nothing(folder: Path) -> None:
    await fill(folder)
    encrypt_threads(folder, passphrase())
    with pytest.raises(WrongPassphraseError):
        decrypt_threads(folder, passphrase("guess"))
    await check_encrypted(folder)


async def test_nothing_begins_while_a_thread_is_open_elsewhere(folder: Path) -> None:
    await fill(folder)
    await in_clear(folder).save("t", saying("hi"))
    with start("hold", "json", folder) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "True\n"
        with pytest.raises(ThreadLockedError):
            encrypt_threads(folder, passphrase())
        process.kill()
    assert await in_clear(folder).load("t") == saying("hi")
    assert not (folder / "keys.json").exists()


async def test_a_store_opened_before_the_encryption_writes_nothing_unencrypted(
    folder: Path,
) -> None:
    await fill(folder)
    clear = in_clear(folder)
    await clear.load("secret 1")
    encrypt_threads(folder, passphrase())
    with pytest.raises(EncryptedThreadsError):
        await clear.save("secret 1", saying("secret"))
    await check_encrypted(folder)
    storage = encrypted(folder)
    await storage.load("secret 1")
    decrypt_threads(folder, passphrase())
    with pytest.raises(EncryptedThreadsError):
        await storage.save("secret 1", saying("lost"))
    await check_in_clear(folder)


async def test_a_conversion_on_a_full_disk_loses_nothing_and_can_continue(
    folder: Path, tally: Tally
) -> None:
    await fill(folder)
    tried = 0
    for convert, check in ((encrypt_threads, check_encrypted), (decrypt_threads, check_in_clear)):
        failures = 0
        for allowed in range(0, 60, 4):
            with pytest.MonkeyPatch.context() as monkeypatch:
                _fill_disk(monkeypatch, allowed)
                try:
                    convert(folder, passphrase())
                except StorageError as error:
                    failures += 1
                    assert "No space left" in str(error)
                else:
                    break
        assert failures
        await check(folder)
        tried += failures
    tally("interrupted encryption", tried=tried)


def _fill_disk(monkeypatch: pytest.MonkeyPatch, allowed: int) -> None:
    left = [allowed]
    real = os.write

    def write(descriptor: int, data: bytes) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", write)


async def kill_conversions(folder: Path, rounds: int) -> int:
    """Kill processes that encrypt or decrypt; return the number of interrupted conversions."""
    await fill(folder)
    cut = 0
    for number in range(rounds):
        task = "decrypt" if (folder / "keys.json").exists() else "encrypt"
        with start("convert", task, folder) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            deadline = time.monotonic() + TIMEOUT_S
            while _stage(folder) not in ("sealing", "opening") and process.poll() is None:
                assert time.monotonic() < deadline
            await asyncio.sleep(number % 10 / 1000)
            process.send_signal(signal.SIGKILL)
            output, _ = process.communicate(timeout=TIMEOUT_S)
        if "done" in output:
            continue
        stage = _stage(folder)
        cut += stage not in (None, "sealed")
        if stage is None:
            await check_in_clear(folder)
        elif stage == "sealed":
            await check_encrypted(folder)
        elif number % 2:
            encrypt_threads(folder, passphrase())  # completes or reverts it
            await check_encrypted(folder)
        else:
            decrypt_threads(folder, passphrase())
            await check_in_clear(folder)
    return cut


def _stage(folder: Path) -> str | None:
    path = folder / "keys.json"
    return json.loads(path.read_text())["stage"] if path.exists() else None


async def test_a_killed_conversion_loses_nothing_and_can_continue(
    folder: Path, tally: Tally
) -> None:
    assert await kill_conversions(folder, 12) > 0
    tally("interrupted encryption", tried=12)


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_two_hundred_killed_conversions_lose_nothing(folder: Path, tally: Tally) -> None:
    assert await kill_conversions(folder, 200) > 20
    tally("interrupted encryption", tried=200)


@pytest.mark.parametrize("stage", ["sealing", "opening"])
async def test_an_unfinished_directory_is_used_by_no_store(folder: Path, stage: Stage) -> None:
    await fill(folder)
    encrypt_threads(folder, passphrase())
    key = read_key_file(folder)
    assert key is not None
    write_key_file(folder, WrappedKey(key.name, key.source, key.nonce, key.wrapped, stage))
    for storage in (in_clear(folder), encrypted(folder)):
        with pytest.raises(EncryptedThreadsError):
            await storage.load("secret 1")
    encrypt_threads(folder, passphrase())
    await check_encrypted(folder)
