"""Parts that the tests of journals share: an answer that grows, in a thread that has a journal."""

from dataclasses import replace
from pathlib import Path

import pytest

from koel_tui.protocol import ChatState, Message, OpenMessage, RunPhase
from koel_tui.storage.files import thread_writer
from tests.storage.helpers import saying

ASKED = saying("old question", "old answer", "new question")


def journal_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give also the small threads of tests a journal."""
    monkeypatch.setattr(thread_writer, "MIN_FILE_BYTES", 0)


def answering(text: str) -> ChatState:
    """Return the state in which so much of an answer was written."""
    answer = OpenMessage.of(Message("a", "assistant", text))
    return replace(ASKED, open_messages=(answer,), phase=RunPhase.RUNNING)


def journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))
