"""What a runner says beside its events: at the end of the log, llama.cpp's last words too."""

import os
from pathlib import Path

from koel_tui import paths
from koel_tui.llama_log_parsing import assertion_in

_LAST_BYTES = 4096


class RunnerOutput:
    """The log as one runner writes to it, from before its start until it has ended. Close it.

    It stays open on this side, so that last words are found also in a log that has been put aside
    since, and so has another name.
    """

    def __init__(self, log: Path) -> None:
        """Open the log at its end. Raises OSError and `DirectoryError`."""
        paths.private_directory(log.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(log, flags, 0o600), "r+b", buffering=0)
        self._begin = os.fstat(self.descriptor).st_size

    @property
    def descriptor(self) -> int:
        """The descriptor a process is to write to."""
        return self._file.fileno()

    def last_words(self) -> str:
        """Return the assertion llama.cpp died of, '' when the runner wrote none."""
        try:
            size = os.fstat(self.descriptor).st_size
            words = os.pread(self.descriptor, _LAST_BYTES, max(self._begin, size - _LAST_BYTES))
        except OSError:
            return ""
        return assertion_in(words.decode("utf-8", "replace"))

    def close(self) -> None:
        """Close the log on this side. Idempotent."""
        self._file.close()
