"""Full-text search over all threads of a directory."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from koel_tui.storage.errors import EncryptedThreadsError, NotAThreadError, StorageError
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.files.json_file_storage import JsonFileStorage
from koel_tui.storage.files.safe_open import modified_time
from koel_tui.storage.files.thread_file import ThreadFile, read_thread
from koel_tui.storage.files.thread_folder import ThreadFolder
from koel_tui.storage.search.connection import remove_index
from koel_tui.storage.search.database import (
    BusyError,
    DamagedIndexError,
    Hit,
    IndexedText,
    IndexEntry,
    SearchDatabase,
)

__all__ = ["Hit", "ThreadIndex", "index_file", "remove_index"]

Progress = Callable[[int, int], None]
"""Progress callback, called with the number of threads indexed and their total."""

T = TypeVar("T")

_BATCH_SIZE = 32
_MAX_ROUNDS = 3
_REMEDY = "Free some space, or set XDG_CACHE_HOME to a directory on another disk."


def index_file(cache_directory: Path, directory: Path) -> Path:
    """Return the path of the index of a thread directory, which need not exist."""
    digest = hashlib.sha256(str(directory.resolve()).encode("utf-8", "surrogateescape"))
    return cache_directory / f"search-{digest.hexdigest()[:16]}.sqlite"


@dataclass(slots=True)
class _Update:
    """The files still to be indexed, newest last, and those to be removed from the index."""

    folder: ThreadFolder
    database: SearchDatabase
    total: int
    changed: list[Path]
    deleted: list[str]
    failed: set[str] = field(default_factory=set)

    def step(self) -> int:
        """Index the next files; return how many are left."""
        batch, self.changed = self.changed[:_BATCH_SIZE], self.changed[_BATCH_SIZE:]
        entries = [entry for path in batch if (entry := self._read_entry(path)) is not None]
        self.database.replace_entries(entries, self.deleted)
        self.deleted = []
        return len(self.changed)

    def _read_entry(self, path: Path) -> IndexEntry | None:
        try:
            file = read_thread(path)
        except (OSError, StorageError):
            file = None
        if file is None:  # deleted or unreadable; retried at the next refresh
            self.failed.add(path.name)
            return None
        return build_entry(self.folder, path, file)


class ThreadIndex:
    """A full-text index of a storage's threads, in a file in the cache directory.

    The index is a cache: a thread is read again when its file has changed, the whole index is
    rebuilt when it is damaged, and unreadable threads are left out. For encrypted threads, and for
    searches if the file cannot be used, it exists only in RAM. No method blocks the event loop.
    """

    def __init__(self, storage: FileStorage, cache_directory: Path) -> None:
        self._storage = storage
        self._file = index_file(cache_directory, storage.directory)
        self._is_unencrypted = isinstance(storage, JsonFileStorage)
        self._database = SearchDatabase(self._file if self._is_unencrypted else None)
        self._refresh_lock = asyncio.Lock()
        self.problem = ""
        """The reason why the index is in RAM although it should be in a file; else empty."""

    async def search(
        self, query: str, limit: int = 50, progress: Progress | None = None
    ) -> list[Hit]:
        """Update the index; return the messages and titles with all words of `query`, best first.

        A word of three letters matches as a part of a word too, with a lower rank. Symbols match
        as written; punctuation around a word is ignored. Any text is a valid query; no character
        is syntax. If there are very many matches, only the ones in the most recently changed
        threads are ranked. Raises `StorageError`.
        """

        async def refresh_and_find() -> list[Hit]:
            await self._refresh(progress)
            return await asyncio.to_thread(self._database.find, query, limit)

        async with self._refresh_lock:
            return await self._search_in_file_or_memory(refresh_and_find)

    async def find(self, query: str, limit: int = 50) -> list[Hit]:
        """Search as `search` does, without updating the index first. Raises `StorageError`."""
        return await self._search_in_file_or_memory(
            lambda: asyncio.to_thread(self._database.find, query, limit)
        )

    async def refresh(self, progress: Progress | None = None) -> None:
        """Index the threads that have changed; cheap if none have.

        If it is cancelled, what was indexed so far is kept. Raises `StorageError`.
        """
        async with self._refresh_lock:  # a concurrent refresh would read the same files again
            await self._retry_if_damaged(lambda: self._refresh(progress))

    async def close(self) -> None:
        """Close the index file; the next call opens it again."""
        await asyncio.to_thread(self._database.close)

    async def _retry_if_damaged(self, action: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `action`; if the index was damaged, retry once with a new one."""
        for _ in range(2):
            try:
                return await self._convert_busy(action)
            except DamagedIndexError as error:
                damage = error
        reason = str(damage).removesuffix(".")
        raise StorageError(
            f"The search index {self._file} cannot be used: {reason}. {_REMEDY}"
        ) from damage

    async def _search_in_file_or_memory(self, action: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `action`, with an index in RAM if the file cannot be used."""
        try:
            return await self._retry_if_damaged(action)
        except StorageError as error:
            if not isinstance(error.__cause__, DamagedIndexError):
                raise
            if not self.problem:
                self.problem = f"{error} Until then, all threads are read again at each start."
                self._database = SearchDatabase(None)
        await self._retry_if_damaged(lambda: self._refresh(None))
        return await self._retry_if_damaged(action)

    async def _convert_busy(self, action: Callable[[], Awaitable[T]]) -> T:
        try:
            return await action()
        except BusyError as error:
            raise StorageError(
                "Another koel-chat is updating the search index. Search again in a moment."
            ) from error

    async def _refresh(self, progress: Progress | None) -> None:
        failed: set[str] = set()
        for _ in range(_MAX_ROUNDS):  # files that change during a round are read in the next one
            work = await asyncio.to_thread(self._find_changes, failed)
            if not work.changed and not work.deleted:
                return
            try:
                left = len(work.changed)
                while left or work.deleted:
                    left = await asyncio.to_thread(work.step)
                    if progress is not None:
                        progress(work.total - left, work.total)
            except BusyError:
                return  # another process is updating it; the existing entries can be searched
            failed |= work.failed

    def _find_changes(self, failed: set[str]) -> _Update:
        """Compare the directory with the index and return the work to do."""
        if not self._is_unencrypted:
            remove_index(self._file)  # left from before the threads were encrypted
        try:
            folder = self._storage.reader()
        except EncryptedThreadsError:
            self._database.remove()
            raise
        try:
            names = folder.names()
        except OSError as error:
            raise StorageError(
                f"Cannot search {folder.path}: {error.strerror or error}. Check its permissions."
            ) from error
        signatures = self._database.signatures()
        changed = [
            folder.path / name
            for name, signature in reversed(names)
            if signatures.get(name) != signature and name not in failed
        ]
        deleted = list(signatures.keys() - {name for name, _ in names})
        return _Update(folder, self._database, len(names), changed, deleted)


def build_entry(folder: ThreadFolder, path: Path, file: ThreadFile) -> IndexEntry:
    """Return the index entry of a thread, without texts if its file is damaged."""
    signature, fallback_time = file.signature, modified_time(file.status)
    try:
        record = folder.decode(file, path)
        state = record.chat_state()
    except (NotAThreadError, StorageError):
        return IndexEntry(path.name, signature, "", "", fallback_time, ())
    summary = record.summary(fallback_time)
    title = record.header.meta.get("title")
    texts = [IndexedText("", "title", title)] if isinstance(title, str) else []
    for message in state.messages:
        text = f"{message.content}\n{message.reasoning}" if message.reasoning else message.content
        if text:
            texts.append(IndexedText(message.id, message.role, text))
    return IndexEntry(
        path.name, signature, record.header.id, summary.title, summary.updated, tuple(texts)
    )
