"""The inference engine: one set of weights, many sessions."""

from koel_tui.engine.engine import Engine
from koel_tui.engine.errors import (
    ChatTemplateError,
    ContextOverflowError,
    EngineClosedError,
    EngineCrashedError,
    EngineError,
    ModelLoadError,
    RestartLimitError,
    SessionBusyError,
    SessionClosedError,
    SessionLimitError,
    UnsupportedError,
)
from koel_tui.engine.host import EngineHost
from koel_tui.engine.restart_limiter import Restarts
from koel_tui.engine.session import EngineSession
from koel_tui.engine.types import (
    ChatMessage,
    Delta,
    Finished,
    MemoryReport,
    ModelCard,
    ModelSpec,
    Progress,
    SessionMemory,
    SessionMetrics,
    TextDelta,
    ThinkingDelta,
    ToolCallDelta,
)
from koel_tui.protocol.turn_settings import Sampling, TurnSettings

__all__ = [
    "ChatMessage",
    "ChatTemplateError",
    "ContextOverflowError",
    "Delta",
    "Engine",
    "EngineClosedError",
    "EngineCrashedError",
    "EngineError",
    "EngineHost",
    "EngineSession",
    "Finished",
    "MemoryReport",
    "ModelCard",
    "ModelLoadError",
    "ModelSpec",
    "Progress",
    "RestartLimitError",
    "Restarts",
    "Sampling",
    "SessionBusyError",
    "SessionClosedError",
    "SessionLimitError",
    "SessionMemory",
    "SessionMetrics",
    "TextDelta",
    "ThinkingDelta",
    "ToolCallDelta",
    "TurnSettings",
    "UnsupportedError",
]
