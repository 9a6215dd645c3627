"""Agents: whatever can answer a run. RunAgentInput in, AG-UI events out."""

from koel_tui.agents.abilities import MemoryUse, memory_of, tokens_in, use_model
from koel_tui.agents.agent import ACTIVITY, ASIDE, METRICS, Agent, ModelAgent, ModelInfo, tokens_of
from koel_tui.agents.local import LocalAgent
from koel_tui.agents.router import MODEL, ModelRouter
from koel_tui.agents.snapshots import Snapshots
from koel_tui.agents.turn_settings import TurnSettings

__all__ = [
    "ACTIVITY",
    "ASIDE",
    "METRICS",
    "MODEL",
    "Agent",
    "LocalAgent",
    "MemoryUse",
    "ModelAgent",
    "ModelInfo",
    "ModelRouter",
    "Snapshots",
    "TurnSettings",
    "memory_of",
    "tokens_in",
    "tokens_of",
    "use_model",
]
