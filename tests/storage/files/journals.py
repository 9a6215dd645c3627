"""Helpers for the tests of journals: a partial answer in a thread that has a journal."""

from dataclasses import replace
from pathlib import Path

import pytest

from koel_tui.protocol import ChatState, Message, OpenMessage, RunPhase
from koel_tui.storage.files import thread_writer
from tests.storage.helpers import saying

ASKED = saying("old question", "old answer", "new question")


def journal_every_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a journal for threads of any size, because those of tests are small."""
    monkeypatch.setattr(thread_writer, "MIN_FILE_BYTES", 0)


def answering(text: str) -> ChatState:
    """Return a state in which the answer generated so far is `text`."""
    answer = OpenMessage.of(Message("a", "assistant", text))
    return replace(ASKED, open_messages=(answer,), phase=RunPhase.RUNNING)


def journals(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.journal"))
