"""The sessions that the worker knows."""

from koel_tui.engine.errors import EngineError
from koel_tui.engine.wire_messages import OpenSession


class SessionTable:
    """The open sessions, those whose snapshot is being read, and what the snapshots had."""

    def __init__(self) -> None:
        self._open: dict[int, OpenSession] = {}
        self._opening: dict[int, int] = {}  # calls by session, while their snapshots are read
        # Number of parts in the snapshot of each session without a turn yet; None if it is invalid.
        self._snapshots: dict[int, int | None] = {}

    def get(self, session: int) -> OpenSession:
        """Return the command that opened a session. Raises `EngineError` if it is not open."""
        if session not in self._open:
            raise EngineError("The engine has no such session. Open it again.")
        return self._open[session]

    def add(self, command: OpenSession, snapshot_parts: int | None) -> None:
        """Open a session whose snapshot has that many parts; None if it has no valid one."""
        self._open[command.session] = command
        if command.kv is not None:
            self._snapshots[command.session] = snapshot_parts

    def begin_opening(self, command: OpenSession) -> None:
        """Note that a session is about to be opened: its snapshot is read first."""
        self._opening[command.session] = command.call

    def end_opening(self, command: OpenSession) -> bool:
        """Return whether a session is still to be opened; it may have been closed meanwhile."""
        if self._opening.get(command.session) != command.call:
            return False
        del self._opening[command.session]
        return True

    def is_snapshot_missed(self, session: int, reused_parts: int, prompt_parts: int) -> bool:
        """Return whether the first turn of a session does not continue its snapshot.

        It is False for later turns and for a session without a snapshot.
        """
        parts = self._snapshots.pop(session, 0)
        return parts is None or reused_parts < min(parts, prompt_parts - 1)

    def remove(self, session: int) -> None:
        """Close a session, or cancel its opening."""
        self._open.pop(session, None)
        self._opening.pop(session, None)
        self._snapshots.pop(session, None)
