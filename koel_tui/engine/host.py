"""The engine in a child process, so that a native crash does not end this process."""

from koel_tui.engine.engine import Engine
from koel_tui.engine.runner.process_transport import ProcessTransport
from koel_tui.engine.runner.transport import Transport


class EngineHost(Engine):
    """An `Engine` whose worker runs in the runner process.

    A crash there fails the current calls with `EngineCrashedError`; the next call starts a new
    runner, and the sessions stay usable.
    """

    @classmethod
    def _create_transport(cls) -> Transport:
        return ProcessTransport()
