"""Conversion of exceptions of the native side to errors for the caller."""

import logging

from koel_tui.engine.errors import EngineError
from koel_tui.engine.native.context.free_memory import free_memory

_log = logging.getLogger(__name__)


def to_engine_error(error: Exception, work: str) -> EngineError:
    """Convert `error` to the error for the caller of `work`; log an unexpected one."""
    if isinstance(error, EngineError):
        return error
    _log.error("An unforeseen error in %s", work, exc_info=error)
    if isinstance(error, MemoryError):
        return EngineError(
            f"The engine has too little memory for this{_free_figure()}. "
            "Close a thread or another program, then try again."
        )
    reason = f"{type(error).__name__}: {error}"[:300].rstrip(".: ")
    return EngineError(
        f"The engine failed on this request ({reason}). Send again; the log has the details."
    )


def _free_figure() -> str:
    """Return how much memory is free, as part of a sentence; '' if that cannot be read.

    The callers handle an error already, so an exception here would end the worker of all threads.
    """
    try:
        return f": {free_memory() / 1e6:,.0f} MB are free"
    except Exception:
        _log.warning("The free memory cannot be read", exc_info=True)
        return ""
