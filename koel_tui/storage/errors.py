"""Errors of storages."""


class StorageError(Exception):
    """A thread could not be loaded or saved; the message names it, the reason and the remedy."""


class NotAThreadError(ValueError):
    """The data is not a valid saved thread; the message gives the reason."""


class FutureSchemaError(StorageError):
    """The thread was saved by a newer version; it is read-only here."""

    def __init__(self, thread_id: str, schema: int) -> None:
        super().__init__(
            f"Thread {thread_id!r} was saved by a newer koel-chat (schema {schema}) and is "
            "read-only here. Update koel-chat to change it."
        )
        self.thread_id = thread_id
        self.schema = schema


class DamagedThreadError(StorageError):
    """The thread's file cannot be read; it is never overwritten."""

    def __init__(self, thread_id: str, reason: str) -> None:
        super().__init__(
            f"The saved thread {thread_id!r} is damaged ({reason}) and was not overwritten. "
            "Delete it to start the thread again."
        )
        self.thread_id = thread_id
        self.reason = reason


class ThreadLockedError(StorageError):
    """Another process holds the thread's write lock; `pid` is its process id, if known."""

    def __init__(self, thread_id: str, pid: int | None) -> None:
        super().__init__(
            f"Thread {thread_id!r} is open in another koel-chat{format_process(pid)} and was not "
            "changed. Close it there, then try again."
        )
        self.thread_id = thread_id
        self.pid = pid


class EncryptedThreadsError(StorageError):
    """The directory is encrypted but was opened as unencrypted, or the reverse."""


class WrongPassphraseError(StorageError):
    """The passphrase does not match the encrypted threads."""


class NoKeyError(StorageError):
    """The key of the encrypted threads, or a package needed to use it, is not available."""


class DamagedKeyFileError(StorageError):
    """The key file is damaged or missing; without it no thread can be read."""


def not_in_trash_error(thread_id: str) -> StorageError:
    """Return the error for restoring a thread that is not in the trash."""
    return StorageError(f"There is no thread {thread_id!r} in the trash.")


def id_in_use_error(thread_id: str) -> StorageError:
    """Return the error for restoring a thread whose id is in use again."""
    return StorageError(
        f"Thread {thread_id!r} was not restored: another thread has this id. Delete that one first."
    )


def format_process(pid: int | None) -> str:
    """Return the suffix of an error message that names a process; empty for None."""
    return "" if pid is None else f" (process {pid})"
