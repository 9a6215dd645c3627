"""Helpers for the tests of `koel-chat doctor`: a secret word, and the states of files."""

import hashlib
from pathlib import Path

CANARY = "canary-7f3a"
"""A word in every thread and configuration, which must never be shown."""


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Return mode, inode, modification time and hash of everything below a directory."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        digest = hashlib.sha256(data).hexdigest()
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, digest)
    return found
