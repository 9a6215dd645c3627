"""The legacy API of one replaceable session."""

from collections.abc import Awaitable, Callable

from koel_tui.engine.session import EngineSession
from koel_tui.engine.shared_task import SharedTask
from koel_tui.engine.types import SessionOptions


class SingleSession:
    """The session of `Engine.create_session`; `open_session` opens its replacement."""

    def __init__(self, open_session: Callable[[SessionOptions], Awaitable[EngineSession]]) -> None:
        self._open = open_session
        self._current: EngineSession | None = None
        self._creating: SharedTask[EngineSession] | None = None

    @property
    def current(self) -> EngineSession | None:
        """The current session; None before the first one and after its close."""
        return self._current

    async def create(self, options: Callable[[], SessionOptions]) -> EngineSession:
        """Replace the session. Concurrent callers share the result or error.

        Only the first caller's `options` are used. Cancelling a caller does not cancel the
        creation.
        """
        if self._creating is None:
            self._creating = SharedTask(self._create(options), "create session")
        return await self._creating.result()

    def forget(self, session: EngineSession) -> None:
        """Unset `current` if it is `session`; do nothing for an older session."""
        if self._current is session:
            self._current = None

    async def wait(self) -> None:
        """Wait until no creation is running."""
        if self._creating is not None:
            await self._creating.wait()

    async def _create(self, options: Callable[[], SessionOptions]) -> EngineSession:
        try:
            resolved_options = options()
            if self._current is not None:
                await self._current.close()
            self._current = await self._open(resolved_options)
            return self._current
        finally:
            # Also on failure; otherwise every later caller would get the same error.
            self._creating = None
