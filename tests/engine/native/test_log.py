"""llama.cpp's log with several engines in one process, which end at different times."""

import gc
import logging
import threading
from pathlib import Path

import llama_cpp
import pytest

from koel_tui.engine.native.log import NativeLog


def fail_to_load(path: Path) -> None:
    model = llama_cpp.llama_model_load_from_file(
        bytes(path), llama_cpp.llama_model_default_params()
    )
    assert not model


def reason_of(path: Path) -> str:
    with NativeLog(logging.getLogger("koel_tui.llama")) as log:
        fail_to_load(path)
        return log.reason()


def elsewhere(path: Path) -> list[str]:
    """Use a log on another thread, end that thread, and collect its objects."""
    reasons: list[str] = []
    thread = threading.Thread(target=lambda: reasons.append(reason_of(path)))
    thread.start()
    thread.join(30)
    gc.collect()
    return reasons


def test_each_thread_gets_its_own_failures(tmp_path: Path) -> None:
    with NativeLog(logging.getLogger("koel_tui.llama")) as log:
        assert "theirs.gguf" in elsewhere(tmp_path / "theirs.gguf")[0]
        assert log.reason() == ""
        fail_to_load(tmp_path / "ours.gguf")
        assert "ours.gguf" in log.reason() and "theirs" not in log.reason()


def test_a_log_that_has_ended_leaves_no_dangling_callback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, logger="koel_tui.llama"):
        for number in range(5):
            elsewhere(tmp_path / f"{number}.gguf")
        before = len(caplog.records)
        fail_to_load(tmp_path / "nobody.gguf")  # without a listener, the message is dropped
    assert before and len(caplog.records) == before


def test_a_log_line_received_in_pieces_is_joined(caplog: pytest.LogCaptureFixture) -> None:
    log = NativeLog(logging.getLogger("koel_tui.llama"))
    with caplog.at_level(logging.DEBUG, logger="koel_tui.llama"):
        for level, text in ((2, b"loading "), (5, b"."), (5, b".\n"), (5, b"\n"), (4, b"no luck")):
            log.add(level, text)
        assert log.reason() == "no luck"
    said = [(record.levelno, record.getMessage()) for record in caplog.records]
    assert said == [(logging.INFO, "loading .."), (logging.ERROR, "no luck")]
