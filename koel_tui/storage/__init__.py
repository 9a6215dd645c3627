"""Storage: threads saved and found again."""

from koel_tui.storage.conflicts import Conflict
from koel_tui.storage.errors import (
    DamagedKeyFileError,
    DamagedThreadError,
    EncryptedThreadsError,
    FutureSchemaError,
    NoKeyError,
    StorageError,
    ThreadLockedError,
    WrongPassphraseError,
)
from koel_tui.storage.json_files import JsonFileStorage
from koel_tui.storage.locks import Access
from koel_tui.storage.memory import MemoryStorage
from koel_tui.storage.quarantine import DamagedThread
from koel_tui.storage.storage import SessionStorage, Summary

__all__ = [
    "Access",
    "Conflict",
    "DamagedKeyFileError",
    "DamagedThread",
    "DamagedThreadError",
    "EncryptedThreadsError",
    "FutureSchemaError",
    "JsonFileStorage",
    "MemoryStorage",
    "NoKeyError",
    "SessionStorage",
    "StorageError",
    "Summary",
    "ThreadLockedError",
    "WrongPassphraseError",
]
