"""The KV snapshots of threads: with one, a thread is resumed without a prefill."""

import hashlib
import logging
from contextlib import suppress
from pathlib import Path

from koel_tui.engine import EngineError, EngineSession

_log = logging.getLogger(__name__)

_MIN_TOKENS = 256
"""The minimum length of a saved context; the prefill of a shorter one is not noticeable."""


class Snapshots:
    """The snapshots in one directory. They contain conversations unencrypted.

    A save removes the oldest snapshots until all fit `budget_bytes`.
    """

    def __init__(self, directory: Path, budget_bytes: int = 1024**3) -> None:
        self._directory = directory
        self._budget = budget_bytes

    def path(self, thread_id: str) -> Path:
        """Return the path for a thread's snapshot; the file need not exist."""
        # A hash, because an id may be any text: too long for a file name, or with a slash.
        name = hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._directory / f"{name}.kv"

    def find(self, thread_id: str) -> Path | None:
        """Return the path of a thread's snapshot, None if there is no snapshot."""
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
        """Close a session, and save its context if it is long enough and no turn is running.

        Returns when the file is written. A failed save is only logged. The session is closed even
        if the save fails or the caller is cancelled.
        """
        # Closing stops a running turn, whose context then ends within an answer.
        is_worth_saving = not session.generating and session.metrics.total >= _MIN_TOKENS
        path = self.path(thread_id) if is_worth_saving else None
        try:
            await session.close(path, budget_bytes=self._budget)
        except EngineError as error:  # resuming the thread then needs a prefill
            _log.info("No snapshot of thread %r: %s", thread_id, error)

    def remove(self, thread_id: str) -> None:
        """Remove the snapshot of a deleted thread. Raises OSError."""
        self._remove(self.path(thread_id).name)

    def clear(self) -> None:
        """Remove all snapshots. Raises OSError."""
        self._remove("*.kv")

    def _remove(self, file_pattern: str) -> None:
        unfinished_pattern = f".{file_pattern}.*.tmp"  # left by a process that was killed
        for pattern in (file_pattern, unfinished_pattern):
            for path in self._directory.glob(pattern):
                path.unlink(missing_ok=True)
