import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio


@pytest_asyncio.fixture
async def free() -> AsyncIterator[asyncio.Event]:
    """Set when a stubborn agent may go; set at the end in any case, or a failure would hang."""
    event = asyncio.Event()
    yield event
    event.set()
