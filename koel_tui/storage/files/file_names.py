"""File names of threads and of their tagged copies."""

import re
from pathlib import Path

KEY_FILE = "keys.json"
"""The name of the key file; if it exists, the threads are encrypted."""

RECOVERY_STEM = "aside"
"""The stem of recovery files."""

JSON_SUFFIX = ".json"
ENCRYPTED_SUFFIX = ".sealed"
THREAD_SUFFIXES = (JSON_SUFFIX, ENCRYPTED_SUFFIX)
JOURNAL_SUFFIX = ".journal"

_STEM = r"t-[0-9a-f]{32}"
_THREAD = re.compile(_STEM)
_TAGGED = re.compile(rf"({_STEM})\.([0-9a-z-]+)")


def is_thread_file(name: str, suffix: str) -> bool:
    """Return whether `name` is a thread's file name, in a directory of files with `suffix`."""
    return name.endswith(suffix) and _THREAD.fullmatch(name.removesuffix(suffix)) is not None


def parse_tag(name: str, suffix: str) -> str | None:
    """Return the tag of a tagged copy ("conflict-3"), None for other names."""
    found = _TAGGED.fullmatch(name.removesuffix(suffix)) if name.endswith(suffix) else None
    return None if found is None else found[2]


def parse_stem(path: Path) -> str:
    """Return the part of the name that identifies the thread."""
    return path.name.partition(".")[0]


def tagged_path(path: Path, tag: str) -> Path:
    """Return the path of the copy of a thread's file with `tag`."""
    return path.with_name(f"{parse_stem(path)}.{tag}{path.suffix}")
