"""The legacy lane: one session at a time, replaced as a whole."""

from collections.abc import Awaitable, Callable

from koel_tui.engine.session import EngineSession
from koel_tui.engine.shared_task import SharedTask
from koel_tui.engine.types import SessionOptions


class SingleSession:
    """Holds the session of `Engine.create_session`; `open_session` opens the next one natively."""

    def __init__(self, open_session: Callable[[SessionOptions], Awaitable[EngineSession]]) -> None:
        self._open = open_session
        self._current: EngineSession | None = None
        self._creating: SharedTask[EngineSession] | None = None

    @property
    def current(self) -> EngineSession | None:
        """The session in the lane; None before the first and after its close."""
        return self._current

    async def create(self, options: Callable[[], SessionOptions]) -> EngineSession:
        """Replace the session. Who calls while that is under way shares its outcome.

        Only the first caller's `options` are looked at. A caller that is cancelled leaves the
        creation to the others.
        """
        if self._creating is None:
            self._creating = SharedTask(self._create(options), "create session")
        return await self._creating.result()

    def forget(self, session: EngineSession) -> None:
        """Empty the lane if `session` is in it; an older one that closes late changes nothing."""
        if self._current is session:
            self._current = None

    async def settle(self) -> None:
        """Wait until no creation is under way."""
        if self._creating is not None:
            await self._creating.settle()

    async def _create(self, options: Callable[[], SessionOptions]) -> EngineSession:
        try:
            wanted = options()
            if self._current is not None:
                await self._current.close()
            self._current = await self._open(wanted)
            return self._current
        finally:
            # On failure too: a guard left behind would hand the failure to every later caller.
            self._creating = None
