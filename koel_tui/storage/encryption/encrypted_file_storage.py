"""A storage of one encrypted file per thread."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from koel_tui.paths import threads_dir
from koel_tui.storage.encryption.encrypted_codec import EncryptedCodec
from koel_tui.storage.encryption.keys import KeySource
from koel_tui.storage.files.file_storage import FileStorage
from koel_tui.storage.migration import MIGRATIONS, Migrations
from koel_tui.system.clock import utc_now


class EncryptedFileStorage(FileStorage):
    """Keeps each thread in an encrypted file of its own; nothing in the directory is in clear.

    The key is asked for at the first call, in a worker thread, and what fails then is asked for
    again at the next. The rest is as in `JsonFileStorage`. Besides what every storage raises,
    calls raise `WrongPassphraseError`, `NoKeyError`, `DamagedKeyFileError`, and
    `EncryptedThreadsError` where threads are in clear.
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        key: KeySource,
        clock: Callable[[], datetime] = utc_now,
        migrations: Migrations = MIGRATIONS,
    ) -> None:
        path = Path(directory or threads_dir())
        super().__init__(path, EncryptedCodec(path, key), clock, migrations)
