"""Fixtures for the tests of storage."""

from pathlib import Path

import pytest

from koel_tui.storage import JsonFileStorage
from koel_tui.storage.search.thread_index import ThreadIndex
from tests.storage.helpers import in_clear


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the path of a directory of threads that does not exist yet."""
    return tmp_path / "threads"


@pytest.fixture
def store(folder: Path) -> JsonFileStorage:
    return in_clear(folder)


@pytest.fixture
def index(store: JsonFileStorage, tmp_path: Path) -> ThreadIndex:
    return ThreadIndex(store, tmp_path / "cache")
