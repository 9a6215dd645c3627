"""KV snapshots of threads: cache files that save the prefill when a thread is resumed."""

import hashlib
import logging
from contextlib import suppress
from pathlib import Path

from koel_tui.engine import EngineError, EngineSession

_log = logging.getLogger(__name__)

_MIN_TOKENS = 256
"""Minimum number of tokens for a snapshot; the prefill of fewer takes no noticeable time."""


class Snapshots:
    """The snapshots in one directory, at most `budget_bytes` in total, oldest removed first.

    They contain the conversation unencrypted, like the threads themselves.
    """

    def __init__(self, directory: Path, budget_bytes: int = 1024**3) -> None:
        self._directory = directory
        self._budget = budget_bytes

    def path(self, thread_id: str) -> Path:
        """Return the snapshot path of a thread, for any id; the file need not exist."""
        name = hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._directory / f"{name}.kv"

    def find(self, thread_id: str) -> Path | None:
        """Return the snapshot path of a thread, None if the file does not exist."""
        path = self.path(thread_id)
        return path if path.is_file() else None

    def size(self) -> int:
        """Return the total size of all snapshots in bytes."""
        total = 0
        for path in self._directory.glob("*.kv"):
            with suppress(OSError):  # the file may be removed at any time
                total += path.stat().st_size
        return total

    async def save_and_close(self, thread_id: str, session: EngineSession) -> None:
        """Close a session immediately and save its context if it is long enough.

        Never raises. Returns when the file is written; if the caller is cancelled, the session is
        still closed.
        """
        is_worth_saving = not session.generating and session.metrics.total >= _MIN_TOKENS
        path = self.path(thread_id) if is_worth_saving else None
        try:
            await session.close(path, budget_bytes=self._budget)
        except EngineError as error:  # the only cost is a new prefill
            _log.info("No snapshot of thread %r: %s", thread_id, error)

    def remove(self, thread_id: str) -> None:
        """Remove the snapshot of a deleted thread. Raises OSError."""
        self._remove(self.path(thread_id).name)

    def clear(self) -> None:
        """Remove all snapshots. Raises OSError."""
        self._remove("*.kv")

    def _remove(self, name: str) -> None:
        for pattern in (name, f".{name}.*.tmp"):  # complete and unfinished files
            for path in self._directory.glob(pattern):
                path.unlink(missing_ok=True)
