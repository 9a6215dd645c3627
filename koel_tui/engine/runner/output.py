"""The runner's stdout and stderr, written to the log, with llama.cpp's failed assertion."""

import os
import tempfile
from pathlib import Path
from typing import IO

from koel_tui import paths
from koel_tui.llama_log_parsing import parse_assertion

_TAIL_BYTES = 4096


class RunnerOutput:
    """The log file of one runner, open from before its start until its end. Close it.

    It stays open here, so that a failed assertion is found even if the log has been rotated and
    renamed. If the log cannot be written, for example in a read-only home directory, a temporary
    file replaces it.
    """

    def __init__(self, log: Path) -> None:
        """Open the log and note its size. Raises OSError if there is no temporary file either."""
        try:
            self._file = _open(log)
        except (OSError, paths.DirectoryError):
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - closed by `close`
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


def _open(log: Path) -> IO[bytes]:
    paths.private_directory(log.parent)
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    return os.fdopen(os.open(log, flags, 0o600), "r+b", buffering=0)
