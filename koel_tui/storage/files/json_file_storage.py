"""A storage with one JSON file per thread."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from koel_tui.paths import threads_dir
from koel_tui.storage.files.file_codec import UnencryptedCodec
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.migration import MIGRATIONS, Migrations
from koel_tui.system.clock import utc_now


class JsonFileStorage(FileStorage):
    """A storage with one unencrypted JSON file per thread, by default in the user's directory.

    `clock` returns the current time in UTC, `migrations` convert threads of older versions. Methods
    raise `EncryptedThreadsError` if the threads are encrypted.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        migrations: Migrations = MIGRATIONS,
    ) -> None:
        path = Path(directory or threads_dir())
        super().__init__(path, UnencryptedCodec(path), clock, migrations)
