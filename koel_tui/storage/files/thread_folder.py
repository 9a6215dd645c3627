"""The thread files of one folder and their list entries."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from koel_tui.storage.errors import NotAThreadError, StorageError
from koel_tui.storage.files.file_codec import Codec
from koel_tui.storage.files.file_names import JOURNAL_SUFFIX, is_thread_file
from koel_tui.storage.files.journal import decode_change
from koel_tui.storage.files.quarantine import Quarantine, Signature, file_signature
from koel_tui.storage.files.safe_open import modified_time, read_start
from koel_tui.storage.files.thread_file import (
    ThreadFile,
    decode_thread,
    join_signatures,
    read_thread,
)
from koel_tui.storage.migration import Migrations
from koel_tui.storage.session_storage import Summary
from koel_tui.storage.thread_head import HEAD_BYTES
from koel_tui.storage.thread_record import Record

_NO_SIGNATURE = (0, 0, 0, 0)
_NO_TIME = datetime.fromtimestamp(0, UTC)


class ThreadFolder:
    """Reads the threads of a folder; summaries are cached until their file changes."""

    def __init__(
        self, path: Path, codec: Codec, quarantine: Quarantine, migrations: Migrations
    ) -> None:
        self.path = path
        self._directory = f"{path}{os.sep}"
        self._codec = codec
        self._quarantine = quarantine
        self._migrations = migrations
        self._cache: dict[str, tuple[Signature, Summary]] = {}

    def thread_path(self, thread_id: str) -> Path:
        """Return the path of a thread's file, which need not exist."""
        return self.path / f"{self._codec.stem(thread_id)}{self._codec.suffix}"

    def decode(self, file: ThreadFile, path: Path) -> Record:
        """Return the thread in a file and its journal. Raises `NotAThreadError`."""
        return decode_thread(self._codec, path, file, self._migrations)

    def summaries(self) -> Iterator[Summary]:
        """Yield the readable threads, most recently changed files first.

        For speed, only the head of a file is read, if it has one; a damaged state is found at load.
        """
        for name, signature, has_journal in self._scan():
            summary = self._summary(name, signature, has_journal=has_journal)
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
        """Return the file names, most recently changed first, in half the time of `files`.

        A signature covers the file and its journal.
        """
        return [(name, signature) for name, signature, _ in self._scan()]

    def _scan(self) -> list[tuple[str, Signature, bool]]:
        """Return the names and signatures, and whether there is a journal, newest first."""
        files: dict[str, Signature] = {}
        journals: dict[str, Signature] = {}
        with os.scandir(self.path) as entries:
            for entry in entries:
                found = files
                if not is_thread_file(entry.name, self._codec.suffix):
                    if not is_thread_file(entry.name, JOURNAL_SUFFIX):
                        continue
                    found = journals
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
                found[entry.name.partition(".")[0]] = file_signature(status)
        threads = [
            (
                f"{stem}{self._codec.suffix}",
                join_signatures(file, journals.get(stem)),
                stem in journals,
            )
            for stem, file in files.items()
        ]
        threads.sort(key=lambda thread: (thread[1][3], thread[0]), reverse=True)
        return threads

    def _summary(self, name: str, signature: Signature, *, has_journal: bool) -> Summary | None:
        """Return the summary of a file; None, and a report in the quarantine, if unreadable."""
        if not self._quarantine.is_empty and self._quarantine.is_reported(
            self.path / name, signature
        ):
            return None
        cached = self._cache.get(name)
        if cached is not None and cached[0] == signature:
            return cached[1]
        file = None
        try:
            found = self._head_summary(name, has_journal=has_journal)
            if found is None:
                file = read_thread(self.path / name)
                found = None if file is None else self._file_summary(name, file)
        except (NotAThreadError, StorageError, OSError) as error:
            if file is not None:
                signature = file.signature
            data, journal = (None, b"") if file is None else (file.data, file.journal)
            self._quarantine.report(self.path / name, str(error), signature, data, journal)
            return None
        if found is None:
            return None
        self._cache[name] = found
        return found[1]

    def _head_summary(self, name: str, *, has_journal: bool) -> tuple[Signature, Summary] | None:
        """Return the signature and summary of a file, from its head and the end of its journal.

        None if the whole file must be read.
        """
        file = read_thread(self.path / name, only_start=True) if has_journal else None
        # Without a journal as little as possible is done: a list may have ten thousand files.
        read = (
            read_start(f"{self._directory}{name}", HEAD_BYTES)
            if file is None
            else (file.data, file.status)
        )
        if read is None:
            return None
        start, status = read
        stem = name.partition(".")[0]
        head = self._codec.read_head(stem, start, status.st_size)
        if head is None or self._codec.stem(head.id) != stem:
            return None
        if file is not None and file.records.contents:
            change = decode_change(self._codec, stem, file.records.contents[-1])
            head = head.with_fields(change.summary)
        summary = head.summary(_NO_TIME)
        if summary.updated is _NO_TIME:
            summary = head.summary(modified_time(status))
        return file_signature(status) if file is None else file.signature, summary

    def _file_summary(self, name: str, file: ThreadFile) -> tuple[Signature, Summary]:
        """Return the signature and summary of a file and its journal. Raises `NotAThreadError`."""
        record = self.decode(file, self.path / name)
        return file.signature, record.summary(modified_time(file.status))
