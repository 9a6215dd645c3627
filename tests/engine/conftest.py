"""The starter model on the native side alone, for tests of its parts."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from koel_tui.engine import ModelSpec
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model


@pytest.fixture(scope="module")
def native_log() -> Iterator[NativeLog]:
    """The log of llama.cpp on this thread."""
    with NativeLog(logging.getLogger("test")) as log:
        yield log


@pytest.fixture(scope="module")
def model(starter_path: Path, native_log: NativeLog) -> Iterator[Model]:
    """The weights, on this thread."""
    loaded = Model(ModelSpec(starter_path, threads=1), native_log)
    yield loaded
    loaded.close()
