"""Search for text files in a directory, and fuzzy matching of their paths. No widgets."""

import mimetypes
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

MOST_WALKED = 5_000
_PATIENCE = 1.0
"""Maximum seconds for a search, because the disk may be slow."""
_LOOKED_AT = 1024


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file: its path in the searched directory; `key` is the case-folded path for matching."""

    path: str
    key: str


def text_files(folder: Path, most: int = MOST_WALKED) -> list[FoundFile]:
    """Return the text files in a directory tree, nearest first; examines at most `most` names.

    Skips hidden files, and links because they lead out of the tree or to files that are listed
    anyway.
    """
    found: list[FoundFile] = []
    end = monotonic() + _PATIENCE
    folders, seen = deque([""]), 0
    while folders:
        here = folders.popleft()
        for entry in _entries(folder / here):
            seen += 1
            if seen > most or monotonic() > end:
                return found
            path = f"{here}{entry.name}"
            if entry.name.startswith("."):
                continue
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False) and _is_text(entry):
                    found.append(FoundFile(path, path.casefold()))
    return found


def matching(files: Iterable[FoundFile], typed: str, most: int) -> list[str]:
    """Return the paths that contain the letters of `typed` in this order, best match first."""
    wanted = typed.casefold()
    ranks: tuple[list[str], ...] = ([], [], [], [])
    for file in files:
        rank = _rank(file.key, wanted)
        if rank is not None:
            ranks[rank].append(file.path)
            if len(ranks[0]) == most:
                break
    return [path for rank in ranks for path in rank][:most]


def _rank(key: str, wanted: str) -> int | None:
    place = key.find(wanted)
    if place < 0:
        return 3 if _scattered(wanted, key) else None
    name = key.rfind("/") + 1
    if key.startswith(wanted, name):
        return 0
    return 1 if wanted in key[name:] else 2


def _scattered(letters: str, text: str) -> bool:
    # Not a regular expression: a long name of one repeated letter would cause catastrophic
    # backtracking.
    place = -1
    for letter in letters:
        place = text.find(letter, place + 1)
        if place < 0:
            return False
    return True


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    # Read the directory before sorting, with a limit, because it may be endless.
    entries: list[os.DirEntry[str]] = []
    with suppress(OSError), os.scandir(folder) as listing:
        for entry in listing:
            entries.append(entry)
            if len(entries) > MOST_WALKED:
                break
    return iter(sorted(entries, key=lambda entry: entry.name))


def _is_text(entry: "os.DirEntry[str]") -> bool:
    kind, packed = mimetypes.guess_type(entry.name, strict=False)
    if kind is not None and kind.startswith("text/") and packed is None:
        return True
    with Path(entry).open("rb") as file:
        return b"\0" not in file.read(_LOOKED_AT)
