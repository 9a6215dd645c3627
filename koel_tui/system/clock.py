"""The clock of the program; whoever stamps anything takes one as an argument, for tests."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the time in UTC."""
    return datetime.now(UTC)
