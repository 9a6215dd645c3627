"""The legacy API of one replaceable session."""

from collections.abc import Awaitable, Callable

from koel_tui.engine.session import EngineSession
from koel_tui.engine.shared_task import SharedCall
from koel_tui.engine.types import SessionOptions


class SingleSession:
    """The session of `Engine.create_session`; `open_session` opens its replacement."""

    def __init__(self, open_session: Callable[[SessionOptions], Awaitable[EngineSession]]) -> None:
        self._open = open_session
        self._current: EngineSession | None = None
        self._creating = SharedCall[EngineSession]("create session")

    @property
    def current(self) -> EngineSession | None:
        """The current session; None before the first one and after its close."""
        return self._current

    async def create(self, options: Callable[[], SessionOptions]) -> EngineSession:
        """Replace the session. Concurrent callers share the result or error.

        Only the first caller's `options` are used. Cancelling a caller does not cancel the
        creation.
        """
        return await self._creating.join(lambda: self._create(options))

    def forget(self, session: EngineSession) -> None:
        """Unset `current` if it is `session`; do nothing for an older session."""
        if self._current is session:
            self._current = None

    async def wait(self) -> None:
        """Wait until no creation is running."""
        await self._creating.wait()

    async def _create(self, options: Callable[[], SessionOptions]) -> EngineSession:
        resolved_options = options()
        if self._current is not None:
            await self._current.close()
        self._current = await self._open(resolved_options)
        return self._current
