"""Threads from and for other programs: import and export, a module for each format."""

from koel_tui.storage.exchange.exporting import ExportFormat, export_thread, take_thread
from koel_tui.storage.exchange.importing import ImportFormat, detect, read_threads
from koel_tui.storage.exchange.naming import file_name
from koel_tui.storage.exchange.storing import Stored, store_thread
from koel_tui.storage.exchange.thread import ImportProblem, Thread

__all__ = [
    "ExportFormat",
    "ImportFormat",
    "ImportProblem",
    "Stored",
    "Thread",
    "detect",
    "export_thread",
    "file_name",
    "read_threads",
    "store_thread",
    "take_thread",
]
