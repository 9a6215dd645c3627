"""The program's clock; code that needs the time takes it as an argument, for tests."""

from datetime import UTC, datetime


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)
