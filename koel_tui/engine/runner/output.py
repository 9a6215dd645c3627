"""The runner's stdout and stderr, written to the log, with llama.cpp's failed assertion."""

import os
from pathlib import Path

from koel_tui import paths
from koel_tui.llama_log_parsing import parse_assertion

_TAIL_BYTES = 4096


class RunnerOutput:
    """The log file of one runner, open from before its start until its end. Close it.

    It stays open here, so that a failed assertion is found even if the log has been rotated and
    renamed.
    """

    def __init__(self, log: Path) -> None:
        """Open the log and note its size. Raises OSError and `DirectoryError`."""
        paths.private_directory(log.parent)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.fdopen(os.open(log, flags, 0o600), "r+b", buffering=0)
        self._begin = os.fstat(self.descriptor).st_size

    @property
    def descriptor(self) -> int:
        """File descriptor for the output of the child process."""
        return self._file.fileno()

    def failed_assertion(self) -> str:
        """Return llama.cpp's failed assertion, '' if the runner wrote none."""
        try:
            size = os.fstat(self.descriptor).st_size
            tail = os.pread(self.descriptor, _TAIL_BYTES, max(self._begin, size - _TAIL_BYTES))
        except OSError:
            return ""
        return parse_assertion(tail.decode("utf-8", "replace"))

    def close(self) -> None:
        """Close this descriptor of the log. Idempotent."""
        self._file.close()
