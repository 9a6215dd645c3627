"""Fixtures with the starter model in this process, for tests of native parts."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from koel_tui.engine import ModelSpec
from koel_tui.engine.native.log import NativeLog
from koel_tui.engine.native.weights import Model


@pytest.fixture(scope="module")
def native_log() -> Iterator[NativeLog]:
    """llama.cpp's log for this thread."""
    with NativeLog(logging.getLogger("test")) as log:
        yield log


@pytest.fixture(scope="module")
def model(starter_path: Path, native_log: NativeLog) -> Iterator[Model]:
    """The weights, loaded on this thread."""
    loaded = Model(ModelSpec(starter_path, threads=1), native_log)
    yield loaded
    loaded.close()
