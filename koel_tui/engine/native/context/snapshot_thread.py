"""The thread that writes and reads KV snapshots, so that the owner thread only copies contexts."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Literal

from koel_tui.engine.native.context.kv_snapshot import Fingerprint, read_snapshot, write_snapshot
from koel_tui.engine.native.context.parked_contexts import ParkedContext
from koel_tui.engine.wire_messages import OpenSession, SaveKv

_MAX_UNWRITTEN_BYTES = 1024**3
"""Maximum size of the copies that wait for the disk. Beyond it the owner thread waits as well."""


@dataclass(frozen=True, slots=True)
class SnapshotDone:
    """The thread has handled a command: the context that it read, if any, or the error."""

    command: SaveKv | OpenSession
    parked: ParkedContext | None = None
    error: Exception | None = None
    kind: Literal["snapshot_done"] = "snapshot_done"

    @property
    def call(self) -> int:
        """The number of the call to answer."""
        return self.command.call


class SnapshotThread:
    """Handles one command after the other, so a snapshot is read as it was last written.

    It makes no native calls. `report` is called on the thread with the end of each command.
    """

    def __init__(self, report: Callable[[SnapshotDone], None]) -> None:
        self._report = report
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="koel snapshots")
        self._unwritten: deque[tuple[Future[None], int]] = deque()

    def write(self, command: SaveKv, fingerprint: Fingerprint, parked: ParkedContext) -> None:
        """Write a copy of a session's context."""

        def work() -> None:
            write_snapshot(command.path, fingerprint, parked, command.budget_bytes)

        size = len(parked.state)
        while self._unwritten_bytes() + size > _MAX_UNWRITTEN_BYTES and self._unwritten:
            wait([self._unwritten[0][0]])
        self._unwritten.append((self._start(command, work), size))

    def read(self, command: OpenSession, fingerprint: Fingerprint) -> None:
        """Read the snapshot that a session is opened with."""
        path = command.kv
        self._start(command, lambda: None if path is None else read_snapshot(path, fingerprint))

    def close(self) -> None:
        """Handle the commands so far, and end the thread."""
        self._executor.shutdown()

    def _start(
        self, command: SaveKv | OpenSession, work: Callable[[], ParkedContext | None]
    ) -> Future[None]:
        def handle() -> None:
            try:
                done = SnapshotDone(command, work())
            except Exception as error:
                done = SnapshotDone(command, error=error)
            self._report(done)

        return self._executor.submit(handle)

    def _unwritten_bytes(self) -> int:
        while self._unwritten and self._unwritten[0][0].done():
            self._unwritten.popleft()
        return sum(size for _, size in self._unwritten)
