"""Chat sessions: threads, their runs, and the client that owns the sessions."""

from koel_tui.session.chat_session import ChatSession
from koel_tui.session.client import KoelClient
from koel_tui.session.errors import (
    InvalidStateError,
    NothingToContinueError,
    ReadOnlyThreadError,
    RunInProgressError,
    SessionDisposedError,
    SessionError,
    ThreadInUseError,
    UnknownMessageError,
)
from koel_tui.session.interceptors import Interceptor, LogRuns, Next, Redact, Retry
from koel_tui.session.observers import Observer
from koel_tui.session.settings import ThreadSettings
from koel_tui.session.tools import ToolHandler, tool_handler
from koel_tui.session.usage import keep_usage

__all__ = [
    "ChatSession",
    "Interceptor",
    "InvalidStateError",
    "KoelClient",
    "LogRuns",
    "Next",
    "NothingToContinueError",
    "Observer",
    "ReadOnlyThreadError",
    "Redact",
    "Retry",
    "RunInProgressError",
    "SessionDisposedError",
    "SessionError",
    "ThreadInUseError",
    "ThreadSettings",
    "ToolHandler",
    "UnknownMessageError",
    "keep_usage",
    "tool_handler",
]
