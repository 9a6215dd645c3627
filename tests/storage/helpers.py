"""Helpers for the tests of the stores: a clock, threads with given texts, file names."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from koel_tui.protocol import ChatState, Message
from koel_tui.storage import Cost, EncryptedFileStorage, JsonFileStorage, Passphrase
from koel_tui.storage.files.file_codec import UnencryptedCodec
from koel_tui.storage.files.file_storage import FileStorage

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
CHEAP = Cost(memory=19 * 1024, passes=2, lanes=1)


class Clock:
    """A clock that advances by one second at each call."""

    def __init__(self) -> None:
        self.now = MOMENT

    def __call__(self) -> datetime:
        self.now += timedelta(seconds=1)
        return self.now


def saying(*texts: str) -> ChatState:
    roles = ("user", "assistant")
    return ChatState(
        messages=tuple(
            Message(str(place), roles[place % 2], text, timestamp=MOMENT)
            for place, text in enumerate(texts)
        )
    )


def words(state: ChatState | None) -> list[str]:
    """Return the texts of the messages."""
    assert state is not None
    return [message.content for message in state.messages]


def file_name(thread_id: str) -> str:
    """Return the unencrypted name of a thread's file."""
    return f"{UnencryptedCodec(Path()).stem(thread_id)}.json"


def passphrase(text: str = "correct horse") -> Passphrase:
    """Return a key with the cheapest derivation that is allowed."""
    return Passphrase(lambda new: text, CHEAP)


def encrypted(folder: Path, text: str = "correct horse") -> EncryptedFileStorage:
    return EncryptedFileStorage(folder, key=passphrase(text), clock=Clock())


def in_clear(folder: Path) -> JsonFileStorage:
    return JsonFileStorage(folder, clock=Clock())


FILE_STORES: dict[str, Callable[[Path], FileStorage]] = {"json": in_clear, "encrypted": encrypted}
