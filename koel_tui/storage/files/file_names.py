"""The names of the files a thread may have: its own and the copies that are kept aside."""

import re
from pathlib import Path

KEY_FILE = "keys.json"
"""The name of the file with the wrapped key; where it is, the threads are encrypted."""

ASIDE = "aside"
"""The stem of what is put aside in another directory."""

_STEM = r"t-[0-9a-f]{32}"
_THREAD = re.compile(_STEM)
_ASIDE = re.compile(rf"({_STEM})\.([0-9a-z-]+)")


def is_thread(name: str, suffix: str) -> bool:
    """Whether a file of this name is a thread's own, in a directory of files with `suffix`."""
    return name.endswith(suffix) and _THREAD.fullmatch(name.removesuffix(suffix)) is not None


def tag_of(name: str, suffix: str) -> str | None:
    """Return what a copy kept aside is ("conflict-3"), None when the name is no copy's."""
    found = _ASIDE.fullmatch(name.removesuffix(suffix)) if name.endswith(suffix) else None
    return None if found is None else found[2]


def stem_of(path: Path) -> str:
    """Return the part of the name that stands for the thread."""
    return path.name.partition(".")[0]


def beside(path: Path, tag: str) -> Path:
    """Return the path of a copy of a thread's file, kept aside under `tag`."""
    return path.with_name(f"{stem_of(path)}.{tag}{path.suffix}")
