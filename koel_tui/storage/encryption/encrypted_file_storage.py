"""A storage with one encrypted file per thread."""

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
    """A storage with one encrypted file per thread; the directory has no unencrypted content.

    The key is requested at the first call, in a worker thread, and again at the next call if that
    fails. Other parameters are as in `JsonFileStorage`. In addition to the errors of every storage,
    methods raise `WrongPassphraseError`, `NoKeyError`, `DamagedKeyFileError`, and
    `EncryptedThreadsError` if the threads are unencrypted.
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
