"""The protocol: immutable values and pure functions for threads, runs and events."""

from koel_tui.chat_templates import RAW_COMPLETION
from koel_tui.protocol.codec.state_codec import decode_state, encode_state
from koel_tui.protocol.errors import (
    AgentError,
    BusinessError,
    KoelError,
    ProtocolError,
    TransportError,
    classify,
)
from koel_tui.protocol.events.chunks import ChunkExpander, expand_chunks
from koel_tui.protocol.events.event_order import Verifier, verify
from koel_tui.protocol.events.event_types import Event, UnknownEvent, error_event, parse_event
from koel_tui.protocol.fold.reducer import fold
from koel_tui.protocol.fold.runs import FINISH_REASON, finish_reason
from koel_tui.protocol.forks import echo_shown, fork_off, forks_shown, switch
from koel_tui.protocol.message_order import calls_to_answer
from koel_tui.protocol.messages import to_ag_ui
from koel_tui.protocol.run_end import end_run, settle, truncate
from koel_tui.protocol.state import (
    LENGTH,
    ChatState,
    Fork,
    Message,
    OpenMessage,
    RunPhase,
    ToolCall,
)
from koel_tui.protocol.turn_settings import Sampling, TurnSettings

__all__ = [
    "FINISH_REASON",
    "LENGTH",
    "RAW_COMPLETION",
    "AgentError",
    "BusinessError",
    "ChatState",
    "ChunkExpander",
    "Event",
    "Fork",
    "KoelError",
    "Message",
    "OpenMessage",
    "ProtocolError",
    "RunPhase",
    "Sampling",
    "ToolCall",
    "TransportError",
    "TurnSettings",
    "UnknownEvent",
    "Verifier",
    "calls_to_answer",
    "classify",
    "decode_state",
    "echo_shown",
    "encode_state",
    "end_run",
    "error_event",
    "expand_chunks",
    "finish_reason",
    "fold",
    "fork_off",
    "forks_shown",
    "parse_event",
    "settle",
    "switch",
    "to_ag_ui",
    "truncate",
    "verify",
]
