"""A storage of one JSON file per thread."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from koel_tui.paths import threads_dir
from koel_tui.storage.files.file_codec import ClearCodec
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.migration import MIGRATIONS, Migrations
from koel_tui.system.clock import utc_now


class JsonFileStorage(FileStorage):
    """Keeps each thread in a JSON file of its own, in clear; in the user's directory by default.

    `clock` gives the UTC times of threads, `migrations` are for what older versions saved. Where
    the threads are encrypted its calls raise `EncryptedThreadsError`.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        migrations: Migrations = MIGRATIONS,
    ) -> None:
        path = Path(directory or threads_dir())
        super().__init__(path, ClearCodec(path), clock, migrations)
