"""Passphrase changes that a disk error or a kill interrupts."""

import asyncio
import errno
import random
import time
from contextlib import suppress
from pathlib import Path

import pytest

from koel_tui.paths import DirectoryError
from koel_tui.storage import StorageError, WrongPassphraseError, change_key
from tests.hostile_summary import Tally
from tests.storage.files.test_failing_system_calls import MANY, Faults
from tests.storage.helpers import encrypted, passphrase, saying, words
from tests.storage.worker import start

OLD, NEW = "correct horse", "battery staple"


async def opens(folder: Path) -> set[str]:
    """Return which of the two passphrases open the thread."""
    fitting = set()
    for text in (OLD, NEW):
        try:
            state = await encrypted(folder, text).load("t")
        except WrongPassphraseError:
            continue
        assert words(state) == ["hi"]
        fitting.add(text)
    return fitting


async def test_a_failing_disk_leaves_the_old_or_the_new_passphrase(
    tmp_path: Path, tally: Tally
) -> None:
    await encrypted(tmp_path).save("t", saying("hi"))
    good = (tmp_path / "keys.json").read_bytes()
    for failing in range(1, MANY):
        (tmp_path / "keys.json").write_bytes(good)
        with pytest.MonkeyPatch.context() as monkeypatch:
            faults = Faults(monkeypatch, failing, errno.ENOSPC)
            with suppress(StorageError, DirectoryError, OSError):
                await asyncio.to_thread(change_key, tmp_path, passphrase(OLD), passphrase(NEW))
        assert len(await opens(tmp_path)) == 1, faults.failed
        if not faults.failed:
            break
    tally("interrupted encryption", tried=failing - 1)


def kill_changes(folder: Path, rounds: int) -> None:
    """Kill processes that change the passphrase back and forth, at random moments."""
    chance = random.Random(1)
    for _ in range(rounds):
        (now,) = asyncio.run(opens(folder))
        with start("rotate", "encrypted", folder, now, NEW if now == OLD else OLD) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == "begun\n"
            time.sleep(chance.uniform(0, 0.1))  # a kill at a random moment
            process.kill()


@pytest.mark.parametrize(
    "rounds", [4, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(300)])]
)
def test_a_killed_change_leaves_the_old_or_the_new_passphrase(
    tmp_path: Path, rounds: int, tally: Tally
) -> None:
    asyncio.run(encrypted(tmp_path).save("t", saying("hi")))
    kill_changes(tmp_path, rounds)
    assert len(asyncio.run(opens(tmp_path))) == 1
    tally("interrupted encryption", tried=rounds)
