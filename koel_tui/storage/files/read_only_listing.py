"""Read-only listing of a thread directory."""

from collections.abc import Iterator
from pathlib import Path

from koel_tui.storage.files.file_codec import UnencryptedCodec
from koel_tui.storage.files.quarantine import Quarantine
from koel_tui.storage.files.thread_folder import ThreadFolder
from koel_tui.storage.migration import MIGRATIONS
from koel_tui.storage.session_storage import Summary


def list_read_only(directory: Path, folder: str = ".") -> Iterator[Summary]:
    """Yield the threads in a folder of an unencrypted directory, most recently changed first.

    Nothing is created, removed or copied; unreadable files are skipped. Raises OSError.
    """
    quarantine = Quarantine(directory, makes_copies=False)
    return ThreadFolder(
        directory / folder, UnencryptedCodec(directory), quarantine, MIGRATIONS
    ).summaries()
