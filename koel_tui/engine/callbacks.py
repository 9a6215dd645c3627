"""Calls of functions that belong to somebody else."""

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)


def isolated(callback: Callable[..., object], *arguments: Any) -> None:
    """Call `callback`; what it raises is logged and does not reach the caller."""
    try:
        callback(*arguments)
    except Exception:
        _log.exception("A callback raised: %r", callback)
