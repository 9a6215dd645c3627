"""Agents, which answer runs: they take a `RunAgentInput` and yield AG-UI events."""

from koel_tui.agents.agent import ACTIVITY, METRICS, Agent, ModelAgent, ModelInfo, tokens_of
from koel_tui.agents.bound_agent import BoundAgent
from koel_tui.agents.capabilities import (
    MemoryUse,
    agent_for,
    ephemeral_agent,
    memory_of,
    tokens_in,
    use_model,
)
from koel_tui.agents.local import LocalAgent
from koel_tui.agents.router import ModelRouter
from koel_tui.agents.snapshots import Snapshots

__all__ = [
    "ACTIVITY",
    "METRICS",
    "Agent",
    "BoundAgent",
    "LocalAgent",
    "MemoryUse",
    "ModelAgent",
    "ModelInfo",
    "ModelRouter",
    "Snapshots",
    "agent_for",
    "ephemeral_agent",
    "memory_of",
    "tokens_in",
    "tokens_of",
    "use_model",
]
