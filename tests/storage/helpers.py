"""What the tests of the stores share: a clock, threads with words in them, names of files."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from koel_tui.protocol import ChatState, Message
from koel_tui.storage.codec import ClearCodec

MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class Clock:
    """A clock that goes on by one second each time it is asked."""

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
    """Return what was said, one text a message."""
    assert state is not None
    return [message.content for message in state.messages]


def file_name(thread_id: str) -> str:
    """Return the name of a thread's file in clear."""
    return f"{ClearCodec(Path()).stem(thread_id)}.json"
