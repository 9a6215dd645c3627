"""Errors of sessions; `thread_id` is the affected thread, if there is one."""


class SessionError(Exception):
    """An invalid use of a session or client; the message says what to do."""


class RunInProgressError(SessionError):
    """A message was sent while the previous answer is still being generated."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} is still answering. Wait for the answer or cancel it first."
        )
        self.thread_id = thread_id


class NothingToContinueError(SessionError):
    """The thread does not end with an incomplete answer."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} does not end with an incomplete answer. Regenerate the "
            "answer, or ask for more in a message."
        )
        self.thread_id = thread_id


class InvalidStateError(SessionError, ValueError):
    """JSON cannot represent a value for the shared state of a thread."""

    def __init__(self, thread_id: str, cause: Exception) -> None:
        super().__init__(
            f"The state of thread {thread_id!r} was not changed: a value is not JSON ({cause}). "
            "Use texts, finite numbers, true, false, null, lists and objects with texts as keys."
        )
        self.thread_id = thread_id


class ReadOnlyThreadError(SessionError):
    """The thread cannot be changed here, because another process holds its lock."""

    def __init__(self, thread_id: str, reason: str) -> None:
        super().__init__(f"Thread {thread_id!r} can only be read here. {reason}")
        self.thread_id = thread_id


class UnknownMessageError(SessionError):
    """The thread has no message with this id."""

    def __init__(self, thread_id: str, message_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} has no message {message_id!r}. Use an id from its state."
        )
        self.thread_id = thread_id
        self.message_id = message_id


class SessionDisposedError(SessionError):
    """A session or client was used after it was disposed."""


class ThreadInUseError(SessionError):
    """A second session was requested for a thread with a live session."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} already has a session. Use that one, or dispose it first."
        )
        self.thread_id = thread_id
