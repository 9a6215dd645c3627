"""What a session refuses to do; `thread_id` is the thread it is about, where it is about one."""


class SessionError(Exception):
    """A session or client was used in a way it cannot serve; the message says what to do."""


class RunInProgressError(SessionError):
    """A message was sent while the answer to the last one is still being written."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} is still answering. Wait for the answer or cancel it first."
        )
        self.thread_id = thread_id


class NothingToContinueError(SessionError):
    """An answer was to be continued where no incomplete one is at the end."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} does not end with an incomplete answer. Regenerate the "
            "answer, or ask for more in a message."
        )
        self.thread_id = thread_id


class InvalidStateError(SessionError, ValueError):
    """A value for the shared state of a thread is none that JSON can hold."""

    def __init__(self, thread_id: str, cause: Exception) -> None:
        super().__init__(
            f"The state of thread {thread_id!r} was not changed: a value is no JSON ({cause}). "
            "Use texts, finite numbers, true, false, null, lists and objects with texts as keys."
        )
        self.thread_id = thread_id


class ReadOnlyThreadError(SessionError):
    """A thread was to go on that somebody else holds."""

    def __init__(self, thread_id: str, reason: str) -> None:
        super().__init__(f"Thread {thread_id!r} can only be read here. {reason}")
        self.thread_id = thread_id


class UnknownMessageError(SessionError):
    """A message was named that the thread does not have."""

    def __init__(self, thread_id: str, message_id: str) -> None:
        super().__init__(f"Thread {thread_id!r} has no message {message_id!r}. Look at its state.")
        self.thread_id = thread_id
        self.message_id = message_id


class SessionDisposedError(SessionError):
    """A session or client was used after it was disposed."""


class ThreadInUseError(SessionError):
    """A second live session was asked for a thread that has one."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} already has a session. Use that one, or dispose it first."
        )
        self.thread_id = thread_id
