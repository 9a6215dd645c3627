"""The log: its lines, which somebody reads on a terminal one day, and the file they go to."""

import fcntl
import logging
import os
import traceback
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, TextIO

from koel_tui.paths import DirectoryError, private_directory
from koel_tui.system.regular_files import has_name
from koel_tui.text import repair, safe_text

LOG_BYTES = 2 * 1024 * 1024
"""Of one file of the log; then the next is begun."""
LOGS_BEFORE = 2
"""Full files that are kept."""
LINES = "%(asctime)s %(levelname)s %(name)s %(message)s"
"""A line of a log, as `logging` writes such."""
MAX_CHARACTERS = 16 * 1024
"""Of one record, so that no error can push the others out of the log."""
_ErrorInfo = (
    tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
)


class SafeFormatter(logging.Formatter):
    """Makes lines without control characters: names, errors and model files bring their own.

    Of errors it tells where they came from, and not what they say: they quote what they could not
    deal with, which may be what a user wrote, or a key.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text fit for a terminal."""
        text = super().format(record)
        if len(text) > MAX_CHARACTERS:
            text = f"{text[:MAX_CHARACTERS]}… ({len(text):,} characters)"
        return safe_text(repair(text))

    def formatException(self, ei: _ErrorInfo) -> str:  # noqa: N802 - as logging calls it
        """Return the way of an error through the program, the one that it came of first."""
        lines: list[str] = []
        for error in reversed(list(_chain(ei[1]))):
            lines += ["Traceback (most recent call last):\n"] if not lines else ["Then:\n"]
            lines += traceback.format_tb(error.__traceback__)
            lines.append(f"{named(error)}\n")
        return "".join(lines).rstrip("\n")


class LogFile(logging.Handler):
    """Writes to a log that is opened at the first line, for its owner only; never fails.

    Several processes may write to the same one: the window, its runners and other windows do.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path
        self._file: logging.Handler | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, if that can be done: there is nobody to tell."""
        try:
            if self._file is None:
                self._file = _opened(self._path)
            self._file.emit(record)
        except (OSError, DirectoryError):
            self._file = None


def named(error: BaseException) -> str:
    """Return the class of an error, and of one of the system what the system says."""
    said = error.strerror if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {said}" if said else type(error).__name__


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        seen.append(error)
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def _opened(path: Path) -> logging.Handler:
    from logging.handlers import RotatingFileHandler

    class Rotating(RotatingFileHandler):
        def shouldRollover(self, record: logging.LogRecord) -> bool:  # noqa: N802 - as logging calls it
            """Say whether a new file is to be begun; one that another process began is taken."""
            if self.stream is not None and not has_name(self.stream.fileno(), path):
                self._let_go()
            return bool(super().shouldRollover(record))

        def doRollover(self) -> None:  # noqa: N802 - as logging calls it
            """Begin a new file, unless another process does so just now."""
            assert self.stream is not None  # noqa: S101 - it was looked at just now
            held = os.dup(self.stream.fileno())  # the lock outlives the stream, which is closed
            try:
                with suppress(OSError):  # the file system has no locks
                    fcntl.flock(held, fcntl.LOCK_EX)
                if has_name(held, path):
                    super().doRollover()
                else:
                    self._let_go()
            finally:
                os.close(held)

        def _let_go(self) -> None:
            """Have the next line open the file that has the name now."""
            if self.stream is not None:
                self.stream.close()
                self.stream = None

        def _open(self) -> Any:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            return _writable(os.open(self.baseFilename, flags, 0o600))

        def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - as logging calls it
            """Say nothing: the terminal is the window's."""

    private_directory(path.parent)
    handler = Rotating(path, maxBytes=LOG_BYTES, backupCount=LOGS_BEFORE, delay=True)
    handler.setFormatter(SafeFormatter(LINES))
    return handler


def _writable(descriptor: int) -> TextIO:
    return os.fdopen(descriptor, "a", encoding="utf-8", errors="replace")
