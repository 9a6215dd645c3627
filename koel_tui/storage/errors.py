"""What a storage refuses to do, or could not do."""


class StorageError(Exception):
    """A thread could not be loaded or saved; the message says which, why, and what to do."""


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
