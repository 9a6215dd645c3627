"""llama.cpp's log: into the program's log file, with the last errors kept for messages."""

import ctypes
import logging
from collections import deque

import llama_cpp

_LEVELS = {1: logging.DEBUG, 2: logging.INFO, 3: logging.WARNING, 4: logging.ERROR}
_CONTINUED = 5  # GGML_LOG_LEVEL_CONT: the rest of the line before


class NativeLog:
    """Takes llama.cpp's log lines; made once per process, before anything is loaded.

    The bindings' own way to silence the log redirects the file descriptors of the whole process
    to nowhere; this one touches nothing else.
    """

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger
        self._errors: deque[str] = deque(maxlen=20)
        self._level = logging.INFO
        # llama.cpp keeps the bare pointer, so the callback object must live as long as it does.
        self._callback = llama_cpp.llama_log_callback(self._line)

    def install(self) -> None:
        """Send llama.cpp's log here from now on."""
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(None))

    def forget_errors(self) -> None:
        """Start a new stretch of work: errors before it explain nothing in it."""
        self._errors.clear()

    def reason(self) -> str:
        """Return the error lines since `forget_errors` as one sentence, or ''."""
        return "; ".join(dict.fromkeys(self._errors))

    def _line(self, level: int, text: bytes, _data: object) -> None:
        line = text.decode("utf-8", "replace").rstrip()
        if level != _CONTINUED:
            self._level = _LEVELS.get(level, logging.INFO)
        if not line:
            return
        self._logger.log(self._level, "%s", line)
        if self._level >= logging.ERROR:
            self._errors.append(line.split(": ", 1)[-1] if ": " in line[:40] else line)
