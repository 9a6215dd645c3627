import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio


@pytest_asyncio.fixture
async def free() -> AsyncIterator[asyncio.Event]:
    """The event that ends a stubborn agent; set at the end, so that a failed test does not hang."""
    event = asyncio.Event()
    yield event
    event.set()
