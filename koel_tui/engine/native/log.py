"""llama.cpp's log: written to the program's log file, with the last errors kept for messages."""

import ctypes
import logging
import threading
from collections import deque
from typing import ClassVar, Self

import llama_cpp

from koel_tui.llama_log_parsing import LOG_CONTINUATION, LOG_LEVELS, parse_error


class NativeLog:
    """The log of the llama.cpp calls on the thread that installed it.

    The bindings' own way to silence the log redirects the file descriptors of the whole process to
    /dev/null; this class has no effect on the rest of the process.
    """

    # llama.cpp has one log callback per process and stores only its pointer. If each engine had a
    # callback, one that is closed would leave a dangling pointer to the others.
    _installed: ClassVar[dict[int, "NativeLog"]] = {}

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._errors: deque[str] = deque(maxlen=20)
        self._level = logging.INFO
        self._line = ""  # the incomplete line

    def __enter__(self) -> Self:
        """Start to receive the log of this thread."""
        self._installed[threading.get_ident()] = self
        llama_cpp.llama_log_set(_CALLBACK, ctypes.c_void_p(None))
        return self

    def __exit__(self, *_error: object) -> None:
        del self._installed[threading.get_ident()]

    def clear_errors(self) -> None:
        """Drop the errors so far; call it before an operation that may report its own."""
        self._end_line()
        self._errors.clear()

    def reason(self) -> str:
        """Return the error lines since `clear_errors` as one sentence, or ''."""
        self._end_line()
        return "; ".join(dict.fromkeys(self._errors))

    @classmethod
    def dispatch(cls, level: int, text: bytes, _data: object) -> None:
        """Pass a text to the log of its thread; helper threads of llama.cpp have none."""
        log = cls._installed.get(threading.get_ident())
        if log is not None:
            log.add(level, text)

    def add(self, level: int, text: bytes) -> None:
        """Add a text of one of llama.cpp's levels: a line or a part of one."""
        if level != LOG_CONTINUATION:
            self._end_line()
            self._level = LOG_LEVELS.get(level, logging.INFO)
        self._line += text.decode("utf-8", "replace")
        if self._line.endswith("\n"):
            self._end_line()

    def _end_line(self) -> None:
        line, self._line = self._line.rstrip(), ""
        if not line:
            return
        self._logger.log(self._level, "%s", line)
        if self._level >= logging.ERROR:
            self._errors.append(parse_error(line))


_CALLBACK = llama_cpp.llama_log_callback(NativeLog.dispatch)
