"""Full-text search over all threads of a directory."""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar

from koel_tui.storage.errors import EncryptedThreadsError, NotAThreadError, StorageError
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.files.json_file_storage import JsonFileStorage
from koel_tui.storage.files.quarantine import Signature, signature_of
from koel_tui.storage.files.safe_open import changed_at, read_file
from koel_tui.storage.files.thread_folder import ThreadFolder
from koel_tui.storage.search.database import (
    BusyError,
    DamagedIndexError,
    Entry,
    Hit,
    Said,
    SearchDatabase,
    remove_index,
)

__all__ = ["Hit", "ThreadIndex", "index_file", "remove_index"]

Progress = Callable[[int, int], None]
"""Told how many of how many threads have been read."""

T = TypeVar("T")

_STEP = 32
_ROUNDS = 3


def index_file(cache_directory: Path, directory: Path) -> Path:
    """Return where the index of a directory of threads is, if there is one."""
    digest = hashlib.sha256(str(directory.resolve()).encode("utf-8", "surrogateescape"))
    return cache_directory / f"search-{digest.hexdigest()[:16]}.sqlite"


@dataclass(slots=True)
class _Work:
    """The files still to be read into the index, newest last, and those to be dropped from it."""

    shelf: ThreadFolder
    database: SearchDatabase
    total: int
    changed: list[Path]
    gone: list[str]
    failed: set[str] = field(default_factory=set)

    def step(self) -> int:
        """Read some of the files; return how many are left."""
        now, self.changed = self.changed[:_STEP], self.changed[_STEP:]
        entries = [entry for path in now if (entry := self._entry(path)) is not None]
        self.database.put(entries, self.gone)
        self.gone = []
        return len(self.changed)

    def _entry(self, path: Path) -> Entry | None:
        try:
            read = read_file(path)
        except (OSError, StorageError):
            read = None
        if read is None:  # gone, or not to be read now: it is tried again at the next refresh
            self.failed.add(path.name)
            return None
        data, status = read
        return entry_of(self.shelf, path, data, signature_of(status), changed_at(status))


class ThreadIndex:
    """An index of what was said in the threads of a storage, in a file of the cache directory.

    It is never the truth: a thread is read again when its file has changed, the whole index is made
    anew when anything is wrong with it, and what cannot be read is left out. Of encrypted threads
    the index is kept in memory alone. Nothing blocks the event loop.
    """

    def __init__(self, storage: FileStorage, cache_directory: Path) -> None:
        self._storage = storage
        self._file = index_file(cache_directory, storage.directory)
        self._in_clear = isinstance(storage, JsonFileStorage)
        self._database = SearchDatabase(self._file if self._in_clear else None)
        self._reading = asyncio.Lock()

    async def search(self, query: str, limit: int = 50) -> list[Hit]:
        """Return where all words of `query` are said in one message or title, the best first.

        The last word may be the beginning of one. Any text is a query; nothing in it is syntax.
        Of very many hits the ones in the threads changed last are ranked. Raises `StorageError`.
        """

        async def read_and_find() -> list[Hit]:
            await self._refresh(None)
            return await asyncio.to_thread(self._database.find, query, limit)

        async with self._reading:
            return await self._mended(read_and_find)

    async def find(self, query: str, limit: int = 50) -> list[Hit]:
        """Return what `search` does, of what was read so far. Raises `StorageError`."""
        return await self._mended(lambda: asyncio.to_thread(self._database.find, query, limit))

    async def refresh(self, progress: Progress | None = None) -> None:
        """Read what has changed since the last time; cheap when nothing has.

        When it is cancelled, what was read so far stays in the index. Raises `StorageError`.
        """
        async with self._reading:  # a second one would read the same files again
            await self._mended(lambda: self._refresh(progress))

    async def close(self) -> None:
        """Give the index's file back; the next call opens it again."""
        await asyncio.to_thread(self._database.close)

    async def _mended(self, deed: Callable[[], Awaitable[T]]) -> T:
        """Do something with the index, and once more with a new one where it was damaged."""
        for last in (False, True):
            try:
                return await deed()
            except BusyError as error:
                raise StorageError(
                    "The search index is being made by another koel-chat. Search again in a moment."
                ) from error
            except DamagedIndexError as error:
                if last:
                    raise StorageError(
                        f"The search index {self._file} cannot be used: {error}. "
                        "Make room or check the disk, then search again."
                    ) from error
        raise AssertionError

    async def _refresh(self, progress: Progress | None) -> None:
        failed: set[str] = set()
        for _ in range(_ROUNDS):  # what changes meanwhile is read in the next one
            work = await asyncio.to_thread(self._survey, failed)
            if not work.changed and not work.gone:
                return
            try:
                left = len(work.changed)
                while left or work.gone:
                    left = await asyncio.to_thread(work.step)
                    if progress is not None:
                        progress(work.total - left, work.total)
            except BusyError:
                return  # somebody else is writing just this; what is there can be searched
            failed |= work.failed

    def _survey(self, failed: set[str]) -> _Work:
        """Compare the directory with the index."""
        if not self._in_clear:
            remove_index(self._file)  # of the time before the threads were encrypted
        try:
            shelf = self._storage.reader()
        except EncryptedThreadsError:
            self._database.remove()
            raise
        try:
            names = shelf.names()
        except OSError as error:
            raise StorageError(
                f"Cannot search {shelf.path}: {error.strerror or error}. Check its permissions."
            ) from error
        known = self._database.known()
        changed = [
            shelf.path / name
            for name, signature in reversed(names)
            if known.get(name) != signature and name not in failed
        ]
        gone = list(known.keys() - {name for name, _ in names})
        return _Work(shelf, self._database, len(names), changed, gone)


def entry_of(
    shelf: ThreadFolder, path: Path, data: bytes, signature: Signature, otherwise: datetime
) -> Entry:
    """Return what is said in a thread; nothing where its file is damaged.

    `otherwise` is its time where the file names none.
    """
    try:
        record = shelf.decode(data, path)
        state = record.chat_state()
    except (NotAThreadError, StorageError):
        return Entry(path.name, signature, "", "", otherwise, ())
    summary = record.summary(otherwise)
    title = record.header.meta.get("title")
    said = [Said("", "title", title)] if isinstance(title, str) else []
    for message in state.messages:
        text = f"{message.content}\n{message.reasoning}" if message.reasoning else message.content
        if text:
            said.append(Said(message.id, message.role, text))
    return Entry(
        path.name, signature, record.header.id, summary.title, summary.updated, tuple(said)
    )
