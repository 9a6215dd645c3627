"""Import and export of threads, with one module per format."""

from koel_tui.storage.interchange.export_names import file_name
from koel_tui.storage.interchange.exporting import ExportFormat, export_thread, load_thread
from koel_tui.storage.interchange.importing import ImportFormat, detect, read_threads
from koel_tui.storage.interchange.portable_thread import ImportProblem, Thread
from koel_tui.storage.interchange.save_imported import SavedThreads, Stored, store_thread

__all__ = [
    "ExportFormat",
    "ImportFormat",
    "ImportProblem",
    "SavedThreads",
    "Stored",
    "Thread",
    "detect",
    "export_thread",
    "file_name",
    "load_thread",
    "read_threads",
    "store_thread",
]
