"""Storage: threads saved and found again."""

from koel_tui.storage.conflicts import Conflict
from koel_tui.storage.conversion import decrypt_threads, encrypt_threads
from koel_tui.storage.encrypted_files import EncryptedFileStorage
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
from koel_tui.storage.key_file import change_key
from koel_tui.storage.keys import AnyKey, Cost, KeySource, Passphrase, SystemKeyring
from koel_tui.storage.locks import Access
from koel_tui.storage.memory import MemoryStorage
from koel_tui.storage.quarantine import DamagedThread
from koel_tui.storage.storage import SessionStorage, Summary

__all__ = [
    "Access",
    "AnyKey",
    "Conflict",
    "Cost",
    "DamagedKeyFileError",
    "DamagedThread",
    "DamagedThreadError",
    "EncryptedFileStorage",
    "EncryptedThreadsError",
    "FutureSchemaError",
    "JsonFileStorage",
    "KeySource",
    "MemoryStorage",
    "NoKeyError",
    "Passphrase",
    "SessionStorage",
    "StorageError",
    "Summary",
    "SystemKeyring",
    "ThreadLockedError",
    "WrongPassphraseError",
    "change_key",
    "decrypt_threads",
    "encrypt_threads",
]
