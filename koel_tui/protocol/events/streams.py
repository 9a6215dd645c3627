"""The closing of event streams."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


@asynccontextmanager
async def closing(events: AsyncIterator[object]) -> AsyncIterator[None]:
    """Close `events` on exit, so that their source stops when the consumer does."""
    try:
        yield
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()
