"""Storage: threads saved and found again."""

from koel_tui.storage.errors import DamagedThreadError, FutureSchemaError, StorageError
from koel_tui.storage.memory import MemoryStorage
from koel_tui.storage.storage import SessionStorage, Summary

__all__ = [
    "DamagedThreadError",
    "FutureSchemaError",
    "MemoryStorage",
    "SessionStorage",
    "StorageError",
    "Summary",
]
