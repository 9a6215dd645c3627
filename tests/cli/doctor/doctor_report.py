"""Parts that tests of `koel-chat doctor` share: a word that must not be shown, and file states."""

import hashlib
from pathlib import Path

CANARY = "canary-7f3a"
"""Said in every thread, and set in every configuration: it must never be shown."""


def tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Return everything below a directory, with all that a change of it would change."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        digest = hashlib.sha256(data).hexdigest()
        found[str(path)] = (status.st_mode, status.st_ino, status.st_mtime_ns, digest)
    return found
