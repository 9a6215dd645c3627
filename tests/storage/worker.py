"""A program that uses a store, for tests with several processes.

`python -m tests.storage.worker TASK KIND FOLDER …`, see `main` and the functions below.
"""

import asyncio
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import ThreadLockedError, change_key, decrypt_threads, encrypt_threads
from koel_tui.storage.files import thread_writer
from tests.storage.helpers import FILE_STORES, passphrase, saying, words

REPOSITORY = Path(__file__).parents[2]
JOURNALED = "-journal"
"""The suffix of KIND for a store that saves to its journal."""


def start(task: str, kind: str, folder: Path, *more: str) -> subprocess.Popen[str]:
    """Start a task in a separate process."""
    command = [sys.executable, "-m", "tests.storage.worker", task, kind, str(folder), *more]
    return subprocess.Popen(
        command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


class NaiveStorage:
    """A store that overwrites the old file in place, which is unsafe."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "t.json"
        folder.mkdir(exist_ok=True)

    async def save(self, thread_id: str, state: ChatState) -> None:
        with self._path.open("w") as file:
            json.dump([message.content for message in state.messages], file)

    async def load(self, thread_id: str) -> ChatState | None:
        with suppress(ValueError):
            return saying(*json.loads(self._path.read_text())) if self._path.exists() else None
        return None


def _open_store(kind: str, folder: Path) -> Any:
    if kind == "naive":
        return NaiveStorage(folder)
    return FILE_STORES[kind.removesuffix(JOURNALED)](folder)


async def hold(kind: str, folder: Path) -> None:
    """Open the thread `t` and keep it open until stdin ends."""
    storage = FILE_STORES[kind](folder)
    print((await storage.open("t")).writable, flush=True)
    await asyncio.to_thread(sys.stdin.read)


async def append(kind: str, folder: Path, name: str, times: str) -> None:
    """Add messages to the thread `t`; print those that were saved and those that were refused."""
    storage = FILE_STORES[kind](folder)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    kept, refused = [], []
    for number in range(int(times)):
        text = f"{name}{number}"
        state = await storage.load("t") or ChatState()
        longer = replace(state, messages=(*state.messages, Message(text, "user", text)))
        try:
            await storage.save("t", longer)
        except ThreadLockedError:
            refused.append(text)
        else:
            kept.append(text)
    print(json.dumps([kept, refused]))


@dataclass
class Toll:
    """Counts after kills: rounds, saves, torn files, lost saves and left-over temporary files."""

    rounds: int = 0
    saves: int = 0
    torn: int = 0
    lost: int = 0
    left_over: int = 0


def kills(kind: str, folder: Path, rounds: str, seed: str, size: str) -> None:
    """Kill a process at random moments while it saves `size` bytes; print the toll of all rounds.

    Each process is forked from this one, so that a round is short. This one has no threads.
    """
    importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")  # once, not per round
    thread_writer.MIN_FILE_BYTES = 0
    chance, toll, promised, pace = random.Random(int(seed)), Toll(), 0, 0.01
    for _ in range(int(rounds) + 1):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reading)
            _save_for_ever(kind, folder, writing, "x" * int(size))
        os.close(writing)
        with os.fdopen(reading) as lines:
            found, left_over = (int(word) for word in lines.readline().split())
            toll.torn += found < 0
            toll.lost += 0 <= found < promised
            toll.left_over += left_over
            lived = chance.uniform(0.5, 5.0) * pace  # long enough for a few saves
            time.sleep(lived)
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            saved = [int(line) for line in lines if line.endswith("\n")]
        promised = saved[-1] if saved else max(found, 0)
        pace = lived / len(saved) if saved else lived * 1.5
        toll.rounds += 1
        toll.saves += len(saved)
    print(json.dumps(vars(toll)))


def convert(task: str, folder: Path) -> None:
    """Encrypt or decrypt a directory."""
    importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
    print("ready", flush=True)
    (encrypt_threads if task == "encrypt" else decrypt_threads)(folder, passphrase())
    print("done", flush=True)


def rotate(folder: Path, now: str, other: str) -> None:
    """Switch between two passphrases until this process is killed."""
    importlib.import_module("cryptography.hazmat.primitives.ciphers.aead")
    print("begun", flush=True)
    while True:
        change_key(folder, passphrase(now), passphrase(other))
        now, other = other, now


def _save_for_ever(kind: str, folder: Path, writing: int, text: str) -> None:
    """Write the number found at the start to `writing`, then save and write increasing numbers."""

    async def work() -> None:
        storage = _open_store(kind, folder)
        state = await storage.load("t")
        number = int(words(state)[0]) if state is not None else _nothing(folder)
        os.write(writing, f"{number} {_left_over(folder)}\n".encode())
        number = max(number, 0)
        if kind.endswith(JOURNALED):
            await storage.open("t")
        while True:
            number += 1
            # Every eighth save joins the journal with the file, as at the end of an answer.
            is_progress = kind.endswith(JOURNALED) and number % 8
            save = storage.save_progress if is_progress else storage.save
            await save("t", saying(str(number), text))
            os.write(writing, f"{number}\n".encode())

    try:
        asyncio.run(work())
    finally:
        os._exit(1)


def _nothing(folder: Path) -> int:
    """Return the number for a thread that was not loaded: 0 without a file, -1 if one exists."""
    return -1 if any(folder.glob("t*")) else 0


def _left_over(folder: Path) -> int:
    return len(list(folder.glob(".*.tmp")))


def main() -> None:
    """Run the task that the command line names."""
    task, kind, folder, *more = sys.argv[1:]
    if task == "kills":
        kills(kind, Path(folder), *more)
    elif task == "convert":
        convert(kind, Path(folder))
    elif task == "rotate":
        rotate(Path(folder), *more)
    elif task == "hold":
        asyncio.run(hold(kind, Path(folder)))
    else:
        asyncio.run(append(kind, Path(folder), *more))


if __name__ == "__main__":
    main()
