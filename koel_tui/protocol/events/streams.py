"""Streams of events: what each stage that reads one does with its source."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def closing(events: AsyncIterator[object]) -> AsyncIterator[None]:
    """Close `events` on the way out, so that their source stops when the reader does."""
    try:
        yield
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
