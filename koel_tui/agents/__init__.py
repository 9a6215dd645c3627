"""Agents: whatever can answer a run. RunAgentInput in, AG-UI events out."""

from koel_tui.agents.agent import ACTIVITY, METRICS, Agent, ModelAgent, ModelInfo

__all__ = ["ACTIVITY", "METRICS", "Agent", "ModelAgent", "ModelInfo"]
