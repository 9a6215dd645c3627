"""The protocol: pure values and pure functions for threads, runs and events."""

from koel_tui.protocol.chunks import ChunkExpander, expand_chunks
from koel_tui.protocol.codec import decode_state, encode_state
from koel_tui.protocol.errors import (
    AgentError,
    BusinessError,
    KoelError,
    ProtocolError,
    TransportError,
    classify,
)
from koel_tui.protocol.events import Event, UnknownEvent, error_event, parse_event
from koel_tui.protocol.messages import to_ag_ui
from koel_tui.protocol.reducer import fold
from koel_tui.protocol.state import (
    ChatState,
    Message,
    OpenMessage,
    RunPhase,
    ToolCall,
    end_run,
    settle,
)
from koel_tui.protocol.verify import Verifier, verify

__all__ = [
    "AgentError",
    "BusinessError",
    "ChatState",
    "ChunkExpander",
    "Event",
    "KoelError",
    "Message",
    "OpenMessage",
    "ProtocolError",
    "RunPhase",
    "ToolCall",
    "TransportError",
    "UnknownEvent",
    "Verifier",
    "classify",
    "decode_state",
    "encode_state",
    "end_run",
    "error_event",
    "expand_chunks",
    "fold",
    "parse_event",
    "settle",
    "to_ag_ui",
    "verify",
]
