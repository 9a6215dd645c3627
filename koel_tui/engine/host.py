"""The engine in a process of its own: what goes wrong natively never takes this process along."""

from koel_tui.engine.engine import Engine
from koel_tui.engine.runner.process_transport import ProcessTransport
from koel_tui.engine.runner.transport import Transport


class EngineHost(Engine):
    """The same engine with its native side in the runner process.

    A crash there fails the calls of that moment with `EngineCrashedError`; the next call starts
    a fresh runner and the sessions go on.
    """

    @classmethod
    def _make_link(cls) -> Transport:
        return ProcessTransport()
