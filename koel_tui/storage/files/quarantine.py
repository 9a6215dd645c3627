"""Quarantine of unreadable files: each is copied unchanged and reported once."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from koel_tui.paths import DirectoryError, private_directory
from koel_tui.system.atomic_write import write_atomically

Signature = tuple[int, int, int, int]
"""The device, inode, size and mtime (ns) of a file; changes if it is written or replaced."""


def file_signature(status: os.stat_result) -> Signature:
    """Return the signature of a file with this status."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


@dataclass(frozen=True, slots=True)
class DamagedThread:
    """A thread's file that cannot be read; `copy` is None if it could not be copied."""

    path: Path
    reason: str
    copy: Path | None


class Quarantine:
    """The damaged files of one directory and their copies in its subdirectory `quarantine`."""

    def __init__(self, directory: Path, *, makes_copies: bool = True) -> None:
        """Without `makes_copies`, damaged files are reported, but not copied."""
        self._directory = directory / "quarantine"
        self._makes_copies = makes_copies
        self._reports: dict[Path, tuple[Signature, DamagedThread]] = {}

    @property
    def damaged(self) -> tuple[DamagedThread, ...]:
        """The damaged files found so far, each once."""
        return tuple(damaged for _, damaged in list(self._reports.values()))

    @property
    def is_empty(self) -> bool:
        """True if no damaged file was found."""
        return not self._reports

    def is_reported(self, path: Path, signature: Signature) -> bool:
        """Return whether the file was found damaged and copied, and has not changed since."""
        reported = self._reports.get(path)
        return reported is not None and reported[0] == signature and reported[1].copy is not None

    def report(
        self,
        path: Path,
        reason: str,
        signature: Signature,
        data: bytes | None,
        journal: bytes = b"",
    ) -> None:
        """Report a damaged file, and copy its bytes unless they are None, and its journal."""
        if not self.is_reported(path, signature):
            copy = None
            if self._makes_copies and data is not None:
                copy = self._copy(path, data)
                if journal:
                    self._copy(path, journal, "journal-")
            self._reports[path] = (signature, DamagedThread(path, reason, copy))

    def withdraw(self, path: Path) -> None:
        """Withdraw the report of a file that was deleted or is valid again; keep its copies."""
        self._reports.pop(path, None)

    def _copy(self, path: Path, data: bytes, tag: str = "") -> Path | None:
        # The name contains a hash of the content, so repeated starts make only one copy.
        digest = hashlib.sha256(data).hexdigest()[:12]
        copy = self._directory / f"{path.stem}.{tag}{digest}{path.suffix}"
        try:
            private_directory(self._directory)
            if not copy.exists():
                write_atomically(copy, data)
        except (OSError, DirectoryError):
            return None  # reported as `copy=None`; the file itself is unchanged
        return copy
