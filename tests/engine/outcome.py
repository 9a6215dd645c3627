"""The outcome of loading a model and running turns."""

import asyncio

from koel_tui.engine import (
    ChatMessage,
    EngineCrashedError,
    EngineError,
    EngineHost,
    ModelLoadError,
    ModelSpec,
)

STOP_TIMEOUT_S = 60
QUESTION = [ChatMessage("user", "abc")]


async def load_error(spec: ModelSpec, sessions: int = 1) -> EngineError | None:
    """Load a model and answer in some sessions; return the error that ended this, or None."""
    async with asyncio.timeout(STOP_TIMEOUT_S):
        try:
            host = await EngineHost.load(spec)
        except EngineError as error:
            is_named = type(error) in (ModelLoadError, EngineCrashedError)
            assert is_named or "too little memory" in str(error), repr(error)
            return error
        try:
            for _ in range(sessions):
                session = await host.open_session(max_output_tokens=2)
                async for _ in session.stream(QUESTION):
                    pass
        except EngineError as error:
            return error
        finally:
            await host.close()
    return None
