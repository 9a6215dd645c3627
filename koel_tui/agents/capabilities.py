"""Optional capabilities of agents, with a fallback for agents that lack them."""

from collections.abc import Callable
from dataclasses import dataclass

from koel_tui.agents.agent import Agent, ModelInfo


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """The memory and disk use of a model, in bytes.

    `weights_bytes` is the size of the weights, `kv_bytes` the size of the context of all `slots`
    together, which become up to `max_slots`; `resident` threads fill `resident_bytes` of it.
    `parked` threads take another `parked_bytes`. `snapshots_bytes` are on disk.
    """

    weights_bytes: int = 0
    kv_bytes: int = 0
    slots: int = 0
    resident: int = 0
    resident_bytes: int = 0
    parked: int = 0
    parked_bytes: int = 0
    snapshots_bytes: int = 0
    max_slots: int = 0


async def memory_of(agent: Agent) -> MemoryUse | None:
    """Return the memory use of an agent's model, None if it is not loaded or not reported."""
    report = getattr(agent, "memory", None)
    use = None if report is None else await report()
    return use if isinstance(use, MemoryUse) else None


async def tokens_in(agent: Agent, text: str) -> int | None:
    """Return how many tokens `text` has for an agent's model.

    None if the model is not loaded or the agent cannot count. Raises what the agent raises.
    """
    count = getattr(agent, "count_tokens", None)
    tokens = None if count is None else await count(text)
    return tokens if isinstance(tokens, int) else None


def agent_for(agent: Agent, model: str | None, lora: str | None) -> Agent:
    """Return `agent` bound to a thread's model and adapter; None selects the default.

    Returns `agent` itself if it has no choice of models.
    """
    bind = getattr(agent, "agent", None)
    bound: Agent = agent if bind is None else bind(model, lora)
    return bound


def ephemeral_agent(agent: Agent) -> Agent:
    """Return `agent` for ephemeral runs, with the same model and adapter.

    Returns `agent` itself if it does not support ephemeral runs; then `release` frees its context.
    """
    make = getattr(agent, "ephemeral", None)
    ephemeral: Agent = agent if make is None else make()
    return ephemeral


async def use_model(
    agent: Agent, model: str, progress: Callable[[float], None] | None = None
) -> ModelInfo | None:
    """Load another model into `agent` and use it; None if the agent cannot switch models.

    Raises what the agent raises; then the previous model stays in use.
    """
    use = getattr(agent, "use", None)
    info = None if use is None else await use(model, progress)
    return info if isinstance(info, ModelInfo) else None
