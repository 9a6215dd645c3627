"""What a storage refuses to do, or could not do."""


class StorageError(Exception):
    """A thread could not be loaded or saved; the message says which, why, and what to do."""


class NotAThreadError(ValueError):
    """What was read is not a saved thread; the message says why."""


class FutureSchemaError(StorageError):
    """The thread was saved by a newer version: it can be read, and is never written."""

    def __init__(self, thread_id: str, schema: int) -> None:
        super().__init__(
            f"Thread {thread_id!r} was saved by a newer koel-chat (schema {schema}) and is "
            "read-only here. Update koel-chat to change it."
        )
        self.thread_id = thread_id
        self.schema = schema


class DamagedThreadError(StorageError):
    """The thread's file cannot be read, and is never overwritten."""

    def __init__(self, thread_id: str, reason: str) -> None:
        super().__init__(
            f"The saved thread {thread_id!r} is damaged ({reason}) and was not overwritten. "
            "Delete it to start the thread again."
        )
        self.thread_id = thread_id
        self.reason = reason


class ThreadLockedError(StorageError):
    """Somebody else holds the thread for writing; `pid` is their process, where it is known."""

    def __init__(self, thread_id: str, pid: int | None) -> None:
        super().__init__(
            f"Thread {thread_id!r} is open in another koel-chat{process(pid)} and was not changed. "
            "Close it there, then try again."
        )
        self.thread_id = thread_id
        self.pid = pid


class EncryptedThreadsError(StorageError):
    """The directory is not kept in the way it was asked for: in clear, or encrypted."""


class WrongPassphraseError(StorageError):
    """The passphrase is not the one the threads are encrypted with."""


class NoKeyError(StorageError):
    """The key of the encrypted threads, or what it takes to use it, is not to be had."""


class DamagedKeyFileError(StorageError):
    """The file with the wrapped key is damaged or missing; without it no thread can be read."""


def not_in_trash(thread_id: str) -> StorageError:
    """Return the error for a thread that is to be taken back and is not there."""
    return StorageError(f"There is no thread {thread_id!r} in the trash.")


def place_taken(thread_id: str) -> StorageError:
    """Return the error for a thread that is to be taken back where there is another by now."""
    return StorageError(
        f"Thread {thread_id!r} was not brought back: there is a thread of this id. "
        "Delete that one first."
    )


def process(pid: int | None) -> str:
    """Return the words for a process in an error."""
    return "" if pid is None else f" (process {pid})"
