"""Interceptors, which wrap the agent of a session; the first one is outermost."""

from koel_tui.session.interceptors.chain import Interceptor, Next, pipeline
from koel_tui.session.interceptors.logging import LogRuns
from koel_tui.session.interceptors.redaction import Redact
from koel_tui.session.interceptors.retry import Retry

__all__ = ["Interceptor", "LogRuns", "Next", "Redact", "Retry", "pipeline"]
