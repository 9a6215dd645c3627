"""Storage, encryption and search of threads."""

from koel_tui.storage.encryption.conversion import decrypt_threads, encrypt_threads
from koel_tui.storage.encryption.encrypted_file_storage import EncryptedFileStorage
from koel_tui.storage.encryption.key_file import change_key
from koel_tui.storage.encryption.keys import AnyKey, Cost, KeySource, Passphrase, SystemKeyring
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
from koel_tui.storage.files.conflicts import Conflict
from koel_tui.storage.files.json_file_storage import JsonFileStorage
from koel_tui.storage.files.quarantine import DamagedThread
from koel_tui.storage.memory_storage import MemoryStorage
from koel_tui.storage.session_storage import Access, ProgressStorage, SessionStorage, Summary

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
    "ProgressStorage",
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
