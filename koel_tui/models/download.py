"""Model downloads: resumable, and installed only when complete."""

import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from koel_tui.models.downloaded import partial_path
from koel_tui.models.gguf import ModelFileError, check_gguf
from koel_tui.models.hub import DownloadError, Hub, HubFile, TransientDownloadError
from koel_tui.system.atomic_write import install_atomically
from koel_tui.system.file_lock import lock_descriptor
from koel_tui.system.regular_files import is_at_path

_RETRY_DELAYS_S = (0.5, 1, 2, 4, 8)
_CHUNK_BYTES = 1024 * 1024

OnProgress = Callable[[int, int], None]
"""Called with the bytes downloaded so far and the total bytes."""


class UnwritableError(DownloadError):
    """The model cannot be written: the disk is full, or permission is denied."""


class DownloadStopped(Exception):  # noqa: N818 - not an error: the caller requested it
    """The download was stopped; the data is kept, and the next download resumes there."""


def free_bytes(directory: Path) -> int:
    """Return the free bytes on the disk of `directory`, which need not exist yet."""
    while not directory.exists():
        directory = directory.parent
    return shutil.disk_usage(directory).free


@dataclass(frozen=True, slots=True)
class Download:
    """A downloader into `directory`, as OWNER/NAME/FILE.

    `retry_delays_s` are the pauses in seconds before each retry; any received data restarts them.
    """

    directory: Path
    hub: Hub
    free: Callable[[Path], int] = free_bytes
    retry_delays_s: Sequence[float] = _RETRY_DELAYS_S

    def pull(
        self,
        repo: str,
        requested: str | None = None,
        *,
        on_progress: OnProgress = lambda _done, _total: None,
        stop: threading.Event | None = None,
    ) -> Path:
        """Download a model and return its (first) file; files that are here are kept.

        Raises `DownloadError`, `ModelFileError` for a file that is not a model, and
        `DownloadStopped` if `stop` is set. Blocks: call it in a worker thread.
        """
        stop = stop or threading.Event()
        files = self.hub.model(repo, requested)
        # `Hub` has checked that `file.name` stays within the repository folder.
        targets = [self.directory / repo / file.name for file in files]
        total = sum(file.size_bytes for file in files)
        try:
            self._check_free_space(files, targets)
            start = 0
            for file, target in zip(files, targets, strict=True):
                transfer = _Transfer(
                    self, file, target, stop, _offset_progress(on_progress, start, total)
                )
                transfer.run()
                start += file.size_bytes
        except OSError as error:
            raise UnwritableError(
                f"Cannot write to {self.directory}: {error.strerror or error}. "
                "The downloaded data is kept. Fix the problem and try again."
            ) from error
        return targets[0]

    def _check_free_space(self, files: Sequence[HubFile], targets: Sequence[Path]) -> None:
        needed = sum(
            file.size_bytes - _size(partial_path(target, file.sha256))
            for file, target in zip(files, targets, strict=True)
            if _size(target) != file.size_bytes
        )
        free = self.free(self.directory)
        if needed > free:
            raise UnwritableError(
                f"{files[0].name} needs {needed / 1e6:,.0f} MB more, but only {free / 1e6:,.0f} MB "
                f"are free in {self.directory}. Free some space, or choose a smaller file."
            )


def _offset_progress(on_progress: OnProgress, start: int, total: int) -> Callable[[int], None]:
    return lambda done: on_progress(start + done, total)


class _Transfer:
    """The transfer of one file: its bytes and hash so far, and the rest."""

    def __init__(
        self,
        download: Download,
        file: HubFile,
        target: Path,
        stop: threading.Event,
        on_progress: Callable[[int], None],
    ) -> None:
        self._hub, self._retry_delays_s = download.hub, download.retry_delays_s
        self._file, self._target, self._stop, self._on_progress = file, target, stop, on_progress
        self._digest = hashlib.sha256()
        self._received = 0

    def run(self) -> None:
        """Download, verify and install the file."""
        self._target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = partial_path(self._target, self._file.sha256)
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        while not self._is_installed():
            with os.fdopen(os.open(path, flags, 0o600), "r+b") as file:
                self._lock(file)
                if not is_at_path(file.fileno(), path):
                    continue  # another download has just installed it
                self._hash_existing(file)
                self._download(file)
                file.flush()
                self._verify(file, path)
                install_atomically(path, self._target)
                return

    def _is_installed(self) -> bool:
        """Return whether the target exists already with the right hash."""
        if self._target.is_symlink() or _size(self._target) != self._file.size_bytes:
            return False
        with self._target.open("rb") as file:
            self._hash_existing(file)
        return self._digest.hexdigest() == self._file.sha256

    def _lock(self, file: BinaryIO) -> None:
        if lock_descriptor(file.fileno()).held_elsewhere:
            raise DownloadError(
                f"{self._file.name} is already being downloaded. "
                "Wait for that download, or stop it."
            )

    def _hash_existing(self, file: BinaryIO) -> None:
        """Hash the data of earlier downloads; truncate a file that is too long."""
        self._reset()
        while chunk := file.read(_CHUNK_BYTES):
            self._check_stop()
            self._add(chunk)
        if self._received > self._file.size_bytes:
            self._truncate(file)

    def _download(self, file: BinaryIO) -> None:
        """Download the missing bytes; retry transient failures."""
        delays = iter(self._retry_delays_s)
        while self._received < self._file.size_bytes:
            start = self._received
            try:
                self._download_once(file)
            except TransientDownloadError as error:
                if self._received > start:
                    delays = iter(self._retry_delays_s)
                delay = next(delays, None)
                if delay is None:
                    raise TransientDownloadError(
                        f"{error} {self._received / 1e6:,.0f} of "
                        f"{self._file.size_bytes / 1e6:,.0f} MB are kept; "
                        "a new attempt resumes there."
                    ) from error
                if self._stop.wait(delay):
                    raise DownloadStopped from None

    def _download_once(self, file: BinaryIO) -> None:
        self._check_stop()
        with self._hub.open_file(self._file, self._received) as (offset, chunks):
            if offset != self._received:
                self._truncate(file)  # the server does not support ranges and restarts
            for chunk in chunks:
                file.write(chunk)
                self._add(chunk)
                if self._received > self._file.size_bytes:
                    return  # too long: `_verify` reports it
                self._check_stop()
        if self._received < self._file.size_bytes:
            raise TransientDownloadError(
                f"The server ended the transfer of {self._file.name} too early."
            )

    def _verify(self, file: BinaryIO, path: Path) -> None:
        if not is_at_path(file.fileno(), path):
            raise DownloadError(
                f"The partial download of {self._file.name} was removed meanwhile. Try again."
            )
        if self._digest.hexdigest() != self._file.sha256:
            path.unlink(missing_ok=True)
            raise DownloadError(
                f"The SHA-256 of {self._file.name} is wrong for {self._file.repo}. "
                "The file was removed; try again."
            )
        try:
            check_gguf(path)
        except ModelFileError as error:
            path.unlink(missing_ok=True)
            raise ModelFileError(self._target, error.reason) from None

    def _add(self, chunk: bytes) -> None:
        self._digest.update(chunk)
        self._received += len(chunk)
        self._on_progress(min(self._received, self._file.size_bytes))

    def _reset(self) -> None:
        self._digest, self._received = hashlib.sha256(), 0

    def _truncate(self, file: BinaryIO) -> None:
        self._reset()
        file.seek(0)
        file.truncate()

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise DownloadStopped


def _size(path: Path) -> int:
    with suppress(OSError):
        return path.stat().st_size
    return 0
