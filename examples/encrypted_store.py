"""Threads in encrypted files: with the passphrase they are there, without it they are noise."""

import asyncio
import tempfile
from pathlib import Path

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import EncryptedFileStorage, Passphrase, WrongPassphraseError


async def main() -> None:
    """Save a thread, look at its file, and open it with the right and a wrong passphrase."""
    with tempfile.TemporaryDirectory() as directory:
        storage = EncryptedFileStorage(directory, key=Passphrase(lambda new: "correct horse"))
        await storage.save("t", ChatState(messages=(Message("m", "user", "Nobody reads this."),)))
        print("in clear on the disk:", is_in_clear(Path(directory), b"Nobody"))

        state = await storage.load("t")
        print("with the passphrase:", state.messages[0].content if state else "nothing")

        stranger = EncryptedFileStorage(directory, key=Passphrase(lambda new: "a guess"))
        try:
            await stranger.load("t")
        except WrongPassphraseError as error:
            print("with another:", error)


def is_in_clear(directory: Path, words: bytes) -> bool:
    """Say whether any file has these words in it."""
    return any(words in file.read_bytes() for file in directory.rglob("*") if file.is_file())


if __name__ == "__main__":
    asyncio.run(main())
