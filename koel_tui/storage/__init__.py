"""Storage: threads saved and found again."""

from koel_tui.storage.errors import DamagedThreadError, FutureSchemaError, StorageError
from koel_tui.storage.json_files import JsonFileStorage
from koel_tui.storage.memory import MemoryStorage
from koel_tui.storage.quarantine import DamagedThread
from koel_tui.storage.storage import SessionStorage, Summary

__all__ = [
    "DamagedThread",
    "DamagedThreadError",
    "FutureSchemaError",
    "JsonFileStorage",
    "MemoryStorage",
    "SessionStorage",
    "StorageError",
    "Summary",
]
