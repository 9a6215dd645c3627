"""What a session refuses to do."""


class SessionError(Exception):
    """A session or client was used in a way it cannot serve; the message says what to do."""


class RunInProgressError(SessionError):
    """A message was sent while the answer to the last one is still being written."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} is still answering. Wait for the answer or cancel it first."
        )
        self.thread_id = thread_id


class SessionDisposedError(SessionError):
    """A session or client was used after it was disposed."""


class ThreadInUseError(SessionError):
    """A second live session was asked for a thread that has one."""

    def __init__(self, thread_id: str) -> None:
        super().__init__(
            f"Thread {thread_id!r} already has a session. Use that one, or dispose it first."
        )
        self.thread_id = thread_id
