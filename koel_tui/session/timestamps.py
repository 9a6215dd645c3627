"""Times as they are stored: in whole milliseconds, on the events that carry them. Pure."""

from datetime import datetime, timedelta

from ag_ui.core import BaseEvent

from koel_tui.protocol import Event


def whole_milliseconds(time: datetime) -> datetime:
    """Return a time without what is less than a millisecond."""
    return time - timedelta(microseconds=time.microsecond % 1000)


def stamp(event: Event, now: datetime) -> Event:
    """Return the event with a time, so that the fold needs no clock; one it has stays."""
    if not isinstance(event, BaseEvent) or event.timestamp is not None:
        return event
    return event.model_copy(update={"timestamp": round(now.timestamp() * 1000)})
