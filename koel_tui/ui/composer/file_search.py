"""Search for text files in a directory, and fuzzy matching of their paths. No widgets."""

import mimetypes
import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from koel_tui.text import match_key

MAX_EXAMINED = 5_000
_TIMEOUT = 1.0
"""Maximum seconds for a search, because the disk may be slow."""
_SNIFF_BYTES = 1024
_PATH_BEGINS = 1
"""The rank of a path that begins with the query; rank 0 is a file name that does."""


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A file: its path in the searched directory; `key` is the path for matching."""

    path: str
    key: str


def text_files(folder: Path, limit: int = MAX_EXAMINED) -> list[FoundFile]:
    """Return the text files in a directory tree, nearest first; examines at most `limit` names.

    Skips hidden files, and links because they lead out of the tree or to files that are listed
    anyway.
    """
    found: list[FoundFile] = []
    end = monotonic() + _TIMEOUT
    folders, seen = deque([""]), 0
    while folders:
        here = folders.popleft()
        for entry in _entries(folder / here):
            seen += 1
            if seen > limit or monotonic() > end:
                return found
            path = f"{here}{entry.name}"
            if entry.name.startswith("."):
                continue
            with suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    folders.append(f"{path}/")
                elif entry.is_file(follow_symlinks=False) and _is_text(entry):
                    found.append(FoundFile(path, match_key(path)))
    return found


def fuzzy_filter(files: Iterable[FoundFile], query: str, limit: int) -> list[str]:
    """Return the paths that contain the letters of `query` in this order, best match first."""
    wanted = match_key(query)
    ranks: tuple[list[str], ...] = ([], [], [], [], [])
    for file in files:
        rank = _rank(file.key, wanted)
        if rank is not None:
            ranks[rank].append(file.path)
            if len(ranks[0]) == limit:
                break
    return [path for rank in ranks for path in rank][:limit]


def begins_with(path: str, query: str) -> bool:
    """Return whether a path or its file name begins with `query`; false for an empty query."""
    rank = _rank(match_key(path), match_key(query))
    return bool(query) and rank is not None and rank <= _PATH_BEGINS


def _rank(key: str, wanted: str) -> int | None:
    index = key.find(wanted)
    if index < 0:
        return 4 if _is_subsequence(wanted, key) else None
    name = key.rfind("/") + 1
    if key.startswith(wanted, name):
        return 0
    if index == 0:
        return _PATH_BEGINS
    return 2 if wanted in key[name:] else 3


def _is_subsequence(letters: str, text: str) -> bool:
    # Not a regular expression: a long name of one repeated letter would cause catastrophic
    # backtracking. Not `textual.fuzzy`: it tries every combination of positions and needs seconds
    # for a long name (9.6 s were measured for one), in which the window would not react.
    index = -1
    for letter in letters:
        index = text.find(letter, index + 1)
        if index < 0:
            return False
    return True


def _entries(folder: Path) -> Iterator["os.DirEntry[str]"]:
    # Read the directory before sorting, with a limit, because it may be endless.
    entries: list[os.DirEntry[str]] = []
    with suppress(OSError), os.scandir(folder) as listing:
        for entry in listing:
            entries.append(entry)
            if len(entries) > MAX_EXAMINED:
                break
    return iter(sorted(entries, key=lambda entry: entry.name))


def _is_text(entry: "os.DirEntry[str]") -> bool:
    kind, packed = mimetypes.guess_type(entry.name, strict=False)
    if kind is not None and kind.startswith("text/") and packed is None:
        return True
    with Path(entry).open("rb") as file:
        return b"\0" not in file.read(_SNIFF_BYTES)
