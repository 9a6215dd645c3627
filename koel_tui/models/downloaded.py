"""The directory of downloaded models: unfinished downloads and removal."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from koel_tui.models.directory_walk import walk_files
from koel_tui.models.split_files import parse_part

_UNFINISHED = re.compile(r"\.(?P<name>.+)\.gguf\.[0-9a-f]{12}\.part", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PartialDownload:
    """An unfinished download."""

    name: str
    path: Path
    size_bytes: int


def partial_path(target: Path, sha256: str) -> Path:
    """Return the path of the unfinished `target`; it is unique for each content."""
    return target.with_name(f".{target.name}.{sha256[:12]}.part")


def partial_downloads(directory: Path) -> list[PartialDownload]:
    """Return the resumable downloads in `directory`."""
    found = []
    for path in walk_files(directory):
        name = _UNFINISHED.fullmatch(path.name)
        if name is not None:
            with suppress(OSError):  # it has just been completed
                found.append(PartialDownload(name["name"], path, path.stat().st_size))
    return found


def model_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a model: one, or all parts of a split model."""
    part = parse_part(path.name)
    return (path,) if part is None else tuple(path.with_name(name) for name in part.names())


def is_within(path: Path, directory: Path) -> bool:
    """Return whether the folder of a file, with links resolved, is within `directory`."""
    return path.parent.resolve().is_relative_to(directory.resolve())


def remove_files(path: Path, directory: Path) -> None:
    """Remove a downloaded model and folders that become empty. Raises OSError."""
    for file in model_files(path):
        file.unlink(missing_ok=True)
    folder = path.parent
    while folder != directory and is_within(folder, directory):
        try:
            folder.rmdir()
        except OSError:  # it is not empty
            return
        folder = folder.parent
