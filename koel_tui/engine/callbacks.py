"""Calls of foreign callbacks."""

import logging
from collections.abc import Callable
from typing import Any

_log = logging.getLogger(__name__)


def call_isolated(callback: Callable[..., object], *arguments: Any) -> None:
    """Call `callback`; log its exceptions instead of raising them."""
    try:
        callback(*arguments)
    except Exception:
        _log.exception("A callback raised: %r", callback)
