"""Threads in encrypted files, which are readable only with the passphrase."""

import asyncio
import tempfile
from pathlib import Path

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import EncryptedFileStorage, Passphrase, WrongPassphraseError


async def main() -> None:
    """Save a thread, check its file, and open it with the right and with a wrong passphrase."""
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
    """Return whether any file contains `words`."""
    return any(words in file.read_bytes() for file in directory.rglob("*") if file.is_file())


if __name__ == "__main__":
    asyncio.run(main())
