"""Our own directory of models: what lies there unfinished, and removing what we put there."""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from koel_tui.models.directory_walk import files_below
from koel_tui.models.split_files import part_of

_UNFINISHED = re.compile(r"\.(?P<name>.+)\.gguf\.[0-9a-f]{12}\.part", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """A download that has not come to its end."""

    name: str
    path: Path
    size_bytes: int


def unfinished_path(target: Path, sha256: str) -> Path:
    """Return where `target` is kept until it is whole; each content has a place of its own."""
    return target.with_name(f".{target.name}.{sha256[:12]}.part")


def unfinished_downloads(directory: Path) -> list[Unfinished]:
    """Return the downloads in `directory` that can be gone on with."""
    found = []
    for path in files_below(directory):
        name = _UNFINISHED.fullmatch(path.name)
        if name is not None:
            with suppress(OSError):  # it is whole just now
                found.append(Unfinished(name["name"], path, path.stat().st_size))
    return found


def model_files(path: Path) -> tuple[Path, ...]:
    """Return the files of a model: one, or all its parts."""
    part = part_of(path.name)
    return (path,) if part is None else tuple(path.with_name(name) for name in part.names())


def is_below(path: Path, directory: Path) -> bool:
    """Return whether a file lies in `directory`, and not behind a link to another place."""
    return path.parent.resolve().is_relative_to(directory.resolve())


def remove_files(path: Path, directory: Path) -> None:
    """Remove a model of ours, with the folders that are empty then. Raises OSError."""
    for file in model_files(path):
        file.unlink(missing_ok=True)
    folder = path.parent
    while folder != directory and is_below(folder, directory):
        try:
            folder.rmdir()
        except OSError:  # something is left in it
            return
        folder = folder.parent
