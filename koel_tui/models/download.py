"""Downloading a model: resumed where it broke off, and installed only when it is whole."""

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
from koel_tui.system.regular_files import has_name

_WAITS_S = (0.5, 1, 2, 4, 8)
_PIECE = 1024 * 1024

OnProgress = Callable[[int, int], None]
"""Hears how many bytes are there, and how many there are."""


class UnwritableError(DownloadError):
    """The model cannot be written: the disk has no room, or we no right to."""


class DownloadStopped(Exception):  # noqa: N818 - not an error: somebody asked for it
    """The download was stopped; what has come is kept, and the next one goes on from there."""


def free_bytes(directory: Path) -> int:
    """Return how much room there is where `directory` is or will be."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free


@dataclass(frozen=True, slots=True)
class Download:
    """Downloads into `directory`, as OWNER/NAME/FILE.

    `waits_s` are the pauses before each new try; a try that brought something starts them over.
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
        """Download a model and return its file, of several the first; one that is here is kept.

        Raises `DownloadError`, `ModelFileError` for a file that is no model, and
        `DownloadStopped` when `stop` is set. Blocks: call it beside the event loop.
        """
        stop = stop or threading.Event()
        files = self.hub.model(repo, wanted)
        # The path in a repository was checked to stay below.
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
    """One file on its way: what is here, its hash so far, and how to get the rest."""

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
        """Bring the file, check it and put it in its place."""
        self._target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = unfinished_path(self._target, self._file.sha256)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while not self._is_here():
            with os.fdopen(os.open(path, flags, 0o600), "r+b") as file:
                self._lock(file)
                if not has_name(file.fileno(), path):
                    continue  # another download has just put it in its place
                self._read(file)
                self._fetch(file)
                file.flush()
                self._check(file, path)
                put_in_place(path, self._target)
                return

    def _is_here(self) -> bool:
        """Whether the very file is in its place already."""
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
        """Take what came before into the hash; what is too much goes."""
        self._restart()
        while piece := file.read(_PIECE):
            self._go_on()
            self._take(piece)
        if self._have > self._file.size_bytes:
            self._empty(file)

    def _fetch(self, file: BinaryIO) -> None:
        """Bring what is missing, over as many connections as it takes."""
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
                self._empty(file)  # a server that cannot go on begins anew
            for piece in pieces:
                file.write(piece)
                self._take(piece)
                if self._have > self._file.size_bytes:
                    return  # more than there is: the check says so
                self._go_on()
        if self._have < self._file.size_bytes:
            raise BrokenOffError(f"The server sent less of {self._file.name} than there is.")

    def _check(self, file: BinaryIO, path: Path) -> None:
        if not has_name(file.fileno(), path):
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
