"""Timestamps in whole milliseconds, and their addition to events."""

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from ag_ui.core import BaseEvent

from koel_tui.protocol import Event

_log = logging.getLogger(__name__)


def truncate_to_milliseconds(time: datetime) -> datetime:
    """Return `time` truncated to whole milliseconds."""
    return time - timedelta(microseconds=time.microsecond % 1000)


def try_clock(clock: Callable[[], datetime]) -> datetime | None:
    """Return the time of `clock`; None if it raises, which is logged."""
    try:
        return clock()
    except Exception:  # the clock is a callback of the caller
        _log.exception("The clock raised; the end of the run gets no timestamp")
        return None


def add_timestamp(event: Event, now: datetime | None) -> Event:
    """Return the event with a timestamp, so that the fold needs no clock; keep an existing one.

    If the time is unknown, the event is returned unchanged.
    """
    if now is None or not isinstance(event, BaseEvent) or event.timestamp is not None:
        return event
    return event.model_copy(update={"timestamp": round(now.timestamp() * 1000)})
