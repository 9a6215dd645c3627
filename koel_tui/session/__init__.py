"""Sessions: threads, their runs, and the client that owns them."""

from koel_tui.session.chat_session import ChatSession
from koel_tui.session.client import KoelClient
from koel_tui.session.errors import (
    RunInProgressError,
    SessionDisposedError,
    SessionError,
    ThreadInUseError,
)

__all__ = [
    "ChatSession",
    "KoelClient",
    "RunInProgressError",
    "SessionDisposedError",
    "SessionError",
    "ThreadInUseError",
]
