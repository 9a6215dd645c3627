"""The log file and its formatter, which makes lines safe to print on a terminal."""

import logging
import os
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from koel_tui.paths import DirectoryError, private_directory
from koel_tui.system.file_lock import lock_descriptor
from koel_tui.system.regular_files import is_at_path
from koel_tui.text import repair, safe_text

MAX_LOG_BYTES = 2 * 1024 * 1024
"""Maximum size of a log file before it is rotated."""
BACKUP_COUNT = 2
"""Number of rotated files kept."""
LINE_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
"""The `logging` format of a log line."""
MAX_RECORD_CHARACTERS = 16 * 1024
"""Maximum length of one record, so that a single error cannot displace all others."""
_ErrorInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class SafeFormatter(logging.Formatter):
    """A formatter that removes control characters; names, errors and model files can contain them.

    Exceptions are logged with their traceback but without their message, because a message may
    quote user text or a key.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as sanitized text."""
        text = super().format(record)
        if len(text) > MAX_RECORD_CHARACTERS:
            text = f"{text[:MAX_RECORD_CHARACTERS]}… ({len(text):,} characters)"
        return safe_text(repair(text))

    def formatException(self, ei: _ErrorInfo) -> str:  # noqa: N802 - as logging calls it
        """Return the tracebacks of an exception and its causes, the root cause first."""
        lines: list[str] = []
        for error in reversed(list(_cause_chain(ei[1]))):
            lines += ["Traceback (most recent call last):\n"] if not lines else ["Then:\n"]
            lines += traceback.format_tb(error.__traceback__)
            lines.append(f"{error_name(error)}\n")
        return "".join(lines).rstrip("\n")


class LogFile(logging.Handler):
    """A log handler that opens its file lazily, readable by its owner only, and never fails.

    Several processes may write to the same file: the app, its runners and other apps do.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file: logging.Handler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; ignore errors, because there is nowhere to report them."""
        try:
            if self._file is None:
                self._file = _open_handler(self._path)
            self._file.emit(record)
        except (OSError, DirectoryError):
            self._file = None


def error_name(error: BaseException) -> str:
    """Return the class name of an exception, with the system's error text for an OSError."""
    system_text = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {system_text}" if system_text else type(error).__name__


def _cause_chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _open_handler(path: Path) -> logging.Handler:
    from logging.handlers import RotatingFileHandler

    class Rotating(RotatingFileHandler):
        def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - as logging calls it
            """Return whether to rotate; reopen the file if another process rotated it."""
            if self.stream is not None and not is_at_path(self.stream.fileno(), path):
                self._close_stream()
            return bool(super().shouldRollover(record))

        def doRollover(self) -> None:  # noqa: N802 - as logging calls it
            """Rotate the file, unless another process is doing so."""
            assert self.stream is not None  # noqa: S101 - checked by shouldRollover
            descriptor = os.dup(self.stream.fileno())  # keeps the lock while the stream is closed
            try:
                lock_descriptor(descriptor, wait=True)  # some file systems have no locks
                if is_at_path(descriptor, path):
                    super().doRollover()
                else:
                    self._close_stream()
            finally:
                os.close(descriptor)

        def _close_stream(self) -> None:
            """Close the stream, so that the next line reopens the path."""
            if self.stream is not None:
                self.stream.close()
                self.stream = None

        def _open(self) -> Any:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            return _open_text(os.open(self.baseFilename, flags, 0o600))

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
            """Print nothing, because the app owns the terminal."""

    private_directory(path.parent)
    handler = Rotating(path, maxBytes=MAX_LOG_BYTES, backupCount=BACKUP_COUNT, delay=True)
    handler.setFormatter(SafeFormatter(LINE_FORMAT))
    return handler


def _open_text(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="replace")
