"""Model downloads: resumable, and installed only when complete."""

import fcntl
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from koel_tui.models.downloaded import unfinished_path
from koel_tui.models.gguf import ModelFileError, check_gguf
from koel_tui.models.hub import BrokenOffError, DownloadError, Hub, HubFile
from koel_tui.models.install_file import put_in_place
from koel_tui.system.regular_files import is_at_path

_WAITS_S = (0.5, 1, 2, 4, 8)
_PIECE = 1024 * 1024

OnProgress = Callable[[int, int], None]
"""Called with the bytes downloaded so far and the total bytes."""


class UnwritableError(DownloadError):
    """The model cannot be written: the disk is full, or permission is denied."""


class DownloadStopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The download was stopped; the data is kept, and the next download resumes there."""


def free_bytes(directory: Path) -> int:
    """Return the free bytes on the disk of `directory`, which need not exist yet."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free


@dataclass(frozen=True, slots=True)
class Download:
    """A downloader into `directory`, as OWNER/NAME/FILE.

    `waits_s` are the pauses in seconds before each retry; any received data restarts them.
    """

    directory: Path
    hub: Hub
    free: Callable[[Path], int] = free_bytes
    waits_s: Sequence[float] = _WAITS_S

    def pull(
        self,
        repo: str,
        wanted: str | None = None,
        *,
        on_progress: OnProgress = lambda _done, _total: None,
        stop: threading.Event | None = None,
    ) -> Path:
        """Download a model and return its (first) file; files that are here are kept.

        Raises `DownloadError`, `ModelFileError` for a file that is not a model, and
        `DownloadStopped` if `stop` is set. Blocks: call it in a worker thread.
        """
        stop = stop or threading.Event()
        files = self.hub.model(repo, wanted)
        # `Hub` has checked that `file.name` stays within the repository folder.
        targets = [self.directory / repo / file.name for file in files]
        total = sum(file.size_bytes for file in files)
        try:
            self._check_room(files, targets)
            before = 0
            for file, target in zip(files, targets, strict=True):
                transfer = _Transfer(self, file, target, stop, _shifted(on_progress, before, total))
                transfer.run()
                before += file.size_bytes
        except OSError as error:
            raise UnwritableError(
                f"Cannot write to {self.directory}: {error.strerror or error}. "
                "What has come is kept; set it right and try the same again."
            ) from error
        return targets[0]

    def _check_room(self, files: Sequence[HubFile], targets: Sequence[Path]) -> None:
        needed = sum(
            file.size_bytes - _size(unfinished_path(target, file.sha256))
            for file, target in zip(files, targets, strict=True)
            if _size(target) != file.size_bytes
        )
        free = self.free(self.directory)
        if needed > free:
            raise UnwritableError(
                f"{files[0].name} needs {needed / 1e6:,.0f} MB more and {free / 1e6:,.0f} MB are "
                f"free in {self.directory}. Make room, or choose a smaller file."
            )


def _shifted(on_progress: OnProgress, before: int, total: int) -> Callable[[int], None]:
    return lambda done: on_progress(before + done, total)


class _Transfer:
    """The transfer of one file: its bytes and hash so far, and the rest."""

    def __init__(
        self,
        download: Download,
        file: HubFile,
        target: Path,
        stop: threading.Event,
        tell: Callable[[int], None],
    ) -> None:
        self._hub, self._waits_s = download.hub, download.waits_s
        self._file, self._target, self._stop, self._tell = file, target, stop, tell
        self._digest = hashlib.sha256()
        self._have = 0

    def run(self) -> None:
        """Download, verify and install the file."""
        self._target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = unfinished_path(self._target, self._file.sha256)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while not self._is_here():
            with os.fdopen(os.open(path, flags, 0o600), "r+b") as file:
                self._lock(file)
                if not is_at_path(file.fileno(), path):
                    continue  # another download has just installed it
                self._read(file)
                self._fetch(file)
                file.flush()
                self._check(file, path)
                put_in_place(path, self._target)
                return

    def _is_here(self) -> bool:
        """Return whether the target exists already with the right hash."""
        if self._target.is_symlink() or _size(self._target) != self._file.size_bytes:
            return False
        with self._target.open("rb") as file:
            self._read(file)
        return self._digest.hexdigest() == self._file.sha256

    def _lock(self, file: BinaryIO) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError(
                f"{self._file.name} is being downloaded already. Wait for that, or stop it."
            ) from None
        except OSError:
            pass  # the file system has no locks

    def _read(self, file: BinaryIO) -> None:
        """Hash the data of earlier downloads; truncate a file that is too long."""
        self._restart()
        while piece := file.read(_PIECE):
            self._go_on()
            self._take(piece)
        if self._have > self._file.size_bytes:
            self._empty(file)

    def _fetch(self, file: BinaryIO) -> None:
        """Download the missing bytes; retry transient failures."""
        waits = iter(self._waits_s)
        while self._have < self._file.size_bytes:
            before = self._have
            try:
                self._fetch_some(file)
            except BrokenOffError as error:
                if self._have > before:
                    waits = iter(self._waits_s)
                wait = next(waits, None)
                if wait is None:
                    raise BrokenOffError(
                        f"{error} {self._have / 1e6:,.0f} of {self._file.size_bytes / 1e6:,.0f} MB "
                        "have come and are kept: tried again, it goes on from there."
                    ) from error
                if self._stop.wait(wait):
                    raise DownloadStopped from None

    def _fetch_some(self, file: BinaryIO) -> None:
        self._go_on()
        with self._hub.opened(self._file, self._have) as (begin, pieces):
            if begin != self._have:
                self._empty(file)  # the server does not support ranges and restarts
            for piece in pieces:
                file.write(piece)
                self._take(piece)
                if self._have > self._file.size_bytes:
                    return  # too long: `_check` reports it
                self._go_on()
        if self._have < self._file.size_bytes:
            raise BrokenOffError(f"The server sent less of {self._file.name} than there is.")

    def _check(self, file: BinaryIO, path: Path) -> None:
        if not is_at_path(file.fileno(), path):
            raise DownloadError(
                f"Somebody has removed what had come of {self._file.name}. Run the same again."
            )
        if self._digest.hexdigest() != self._file.sha256:
            path.unlink(missing_ok=True)
            raise DownloadError(
                f"What has come of {self._file.name} is not what {self._file.repo} says it is "
                "(its SHA-256 differs), so it is removed. Try again."
            )
        try:
            check_gguf(path)
        except ModelFileError as error:
            path.unlink(missing_ok=True)
            raise ModelFileError(self._target, error.reason) from None

    def _take(self, piece: bytes) -> None:
        self._digest.update(piece)
        self._have += len(piece)
        self._tell(min(self._have, self._file.size_bytes))

    def _restart(self) -> None:
        self._digest, self._have = hashlib.sha256(), 0

    def _empty(self, file: BinaryIO) -> None:
        self._restart()
        file.seek(0)
        file.truncate()

    def _go_on(self) -> None:
        if self._stop.is_set():
            raise DownloadStopped


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
