"""The choice of the model file, and the check that it is a GGUF file."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from koel_tui.models import ModelFileError, NoModelError, check_gguf, choose_model, starter


def test_the_starter_is_chosen_and_whole(starter_path: Path) -> None:
    assert choose_model(None) == starter_path
    assert choose_model(starter_path) == starter_path


def test_without_starter_the_message_says_how_to_get_a_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(starter, "_PACKAGE", "no_such_package")
    with pytest.raises(NoModelError, match=r"--model.*koel-tui\[starter\]"):
        choose_model(None)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (b"PK\x03\x04 something else", "not a GGUF file"),
        (b"GGUF", "cut off within its header"),
        (b"GGUF" + struct.pack("<I", 99), "GGUF version 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 1, 2**60), f"{2**60} entries"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 1, 1, 2**50), "a string of"),
    ],
)
def test_a_bad_file_is_named_with_its_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelFileError) as failure:
        check_gguf(path)
    assert str(path) in str(failure.value)
    assert reason in str(failure.value)


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ModelFileError, match="not a regular file"):
        check_gguf(tmp_path / "pipe.gguf")


def test_a_missing_file_and_a_directory_are_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="no such file"):
        check_gguf(tmp_path / "absent.gguf")
    with pytest.raises(ModelFileError, match="a directory"):
        check_gguf(tmp_path)


@pytest.mark.parametrize("kept", [0.001, 0.05, 0.5, 0.9])
def test_a_truncated_model_is_found_out(tmp_path: Path, starter_path: Path, kept: float) -> None:
    path = tmp_path / "part.gguf"
    with starter_path.open("rb") as whole:
        path.write_bytes(whole.read(int(starter_path.stat().st_size * kept)))
    with pytest.raises(ModelFileError, match="cut off"):
        check_gguf(path)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=400))
def test_no_header_escapes_as_another_error(
    tmp_path_factory: pytest.TempPathFactory, tail: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "fuzz.gguf"
    path.write_bytes(b"GGUF\x03\0\0\0" + tail)
    try:
        check_gguf(path)
    except ModelFileError as error:
        assert error.reason
