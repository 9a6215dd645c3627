"""KV snapshots of threads: files of a cache that save reading a thread again when it is resumed."""

import hashlib
import logging
from contextlib import suppress
from pathlib import Path

from koel_tui.engine import EngineError, EngineSession

_log = logging.getLogger(__name__)

_WORTH_KEEPING = 256
"""Tokens a thread must have: fewer are read again before anybody notices."""


class Snapshots:
    """The snapshots in one directory, `budget_bytes` together at most, the oldest leaving first.

    They hold what was said in clear text, like the threads themselves.
    """

    def __init__(self, directory: Path, budget_bytes: int = 1024**3) -> None:
        self._directory = directory
        self._budget = budget_bytes

    def path(self, thread_id: str) -> Path:
        """Return the file of a thread, whatever its id is made of; it need not exist."""
        name = hashlib.sha256(thread_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self._directory / f"{name}.kv"

    def find(self, thread_id: str) -> Path | None:
        """Return the file of a thread if there is one."""
        path = self.path(thread_id)
        return path if path.is_file() else None

    def size(self) -> int:
        """Return how many bytes all of them take."""
        sizes = 0
        for path in self._directory.glob("*.kv"):
            with suppress(OSError):  # it may go at any moment
                sizes += path.stat().st_size
        return sizes

    async def save_and_close(self, thread_id: str, session: EngineSession) -> None:
        """Close a session at once; save what the model has read of its thread if that is worth it.

        Never raises. Ends when the file is written; a caller that is cancelled leaves no session.
        """
        worth = not session.generating and session.metrics.total >= _WORTH_KEEPING
        path = self.path(thread_id) if worth else None
        try:
            await session.close(path, budget_bytes=self._budget)
        except EngineError as error:  # it will be read again, that is all
            _log.info("No snapshot of thread %r: %s", thread_id, error)

    def remove(self, thread_id: str) -> None:
        """Remove what is kept of a thread that is gone. Raises OSError."""
        self._remove(self.path(thread_id).name)

    def clear(self) -> None:
        """Remove what is kept of all threads. Raises OSError."""
        self._remove("*.kv")

    def _remove(self, name: str) -> None:
        for pattern in (name, f".{name}.*.tmp"):  # whole ones, and those nobody finished
            for path in self._directory.glob(pattern):
                path.unlink(missing_ok=True)
