"""The thread files of one folder and their list entries."""

import os
from collections.abc import Iterator
from pathlib import Path

from koel_tui.storage.errors import NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import Codec
from koel_tui.storage.files.file_names import is_thread_file, parse_stem
from koel_tui.storage.files.quarantine import Quarantine, Signature, file_signature
from koel_tui.storage.files.safe_open import modified_time, read_file
from koel_tui.storage.migration import Migrations
from koel_tui.storage.session_storage import Summary
from koel_tui.storage.thread_record import Record, decode_record

_NO_SIGNATURE = (0, 0, 0, 0)


class ThreadFolder:
    """Reads the threads of a folder; summaries are cached until their file changes."""

    def __init__(
        self, path: Path, codec: Codec, quarantine: Quarantine, migrations: Migrations
    ) -> None:
        self.path = path
        self._codec = codec
        self._quarantine = quarantine
        self._migrations = migrations
        self._cache: dict[str, tuple[Signature, Summary]] = {}

    def thread_path(self, thread_id: str) -> Path:
        """Return the path of a thread's file, which need not exist."""
        return self.path / f"{self._codec.stem(thread_id)}{self._codec.suffix}"

    def decode(self, data: bytes, path: Path) -> Record:
        """Return the thread in a file's bytes. Raises `NotAThreadError`."""
        stem = parse_stem(path)
        record = decode_record(self._codec.decode(stem, data), self._migrations)
        if self._codec.stem(record.header.id) != stem:
            raise NotAThreadError("its id is that of another thread")
        return record

    def summaries(self) -> Iterator[Summary]:
        """Yield the readable threads, most recently changed files first.

        For speed, messages are counted, but not validated; a damaged one is found at load.
        """
        for path, signature in self.files():
            summary = self._summary(path, signature)
            if summary is not None:
                yield summary

    def forget(self, path: Path) -> None:
        """Drop the cached data of a deleted file."""
        self.forget_summary(path)
        self._quarantine.withdraw(path)

    def forget_summary(self, path: Path) -> None:
        """Drop the cached summary of a file that was written.

        Its signature may be the same: FAT keeps times to two seconds, and not every file system has
        inodes.
        """
        self._cache.pop(path.name, None)

    def files(self) -> list[tuple[Path, Signature]]:
        """Return the thread files, most recently changed first."""
        return [(self.path / name, signature) for name, signature in self.names()]

    def names(self) -> list[tuple[str, Signature]]:
        """Return the file names, most recently changed first, in half the time of `files`."""
        found = []
        with os.scandir(self.path) as entries:
            for entry in entries:
                if not is_thread_file(entry.name, self._codec.suffix):
                    continue
                try:
                    if not entry.is_file(follow_symlinks=False):
                        continue
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # deleted since it was listed
                except OSError as error:  # a bad sector or stale handle; still list the other files
                    reason = error.strerror or str(error)
                    self._quarantine.report(self.path / entry.name, reason, _NO_SIGNATURE, None)
                    continue
                found.append((status.st_mtime_ns, entry.name, file_signature(status)))
        found.sort(reverse=True)
        return [(name, signature) for _, name, signature in found]

    def _summary(self, path: Path, signature: Signature) -> Summary | None:
        """Return the summary of a file; None, and a report in the quarantine, if unreadable."""
        if self._quarantine.is_reported(path, signature):
            return None
        cached = self._cache.get(path.name)
        if cached is not None and cached[0] == signature:
            return cached[1]
        data = None
        try:
            read = read_file(path)
            if read is None:
                return None
            data, status = read
            signature = file_signature(status)
            summary = self.decode(data, path).summary(modified_time(status))
        except (NotAThreadError, StorageError, OSError) as error:
            self._quarantine.report(path, str(error), signature, data)
            return None
        self._cache[path.name] = (signature, summary)
        return summary
