"""Timestamps in whole milliseconds, and their addition to events. Pure."""

from datetime import datetime, timedelta

from ag_ui.core import BaseEvent

from koel_tui.protocol import Event


def truncate_to_milliseconds(time: datetime) -> datetime:
    """Return `time` truncated to whole milliseconds."""
    return time - timedelta(microseconds=time.microsecond % 1000)


def add_timestamp(event: Event, now: datetime) -> Event:
    """Return the event with a timestamp, so that the fold needs no clock; keep an existing one."""
    if not isinstance(event, BaseEvent) or event.timestamp is not None:
        return event
    return event.model_copy(update={"timestamp": round(now.timestamp() * 1000)})
