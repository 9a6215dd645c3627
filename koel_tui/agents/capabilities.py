"""What some agents can do with their model, and others cannot: asked for where it is there."""

from collections.abc import Callable
from dataclasses import dataclass

from koel_tui.agents.agent import Agent, ModelInfo


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What a model takes, in bytes.

    `weights_bytes` is the model itself, `kv_bytes` the context of all `slots` together, of which
    `resident` threads fill `resident_bytes`; `parked` threads lie beside it in `parked_bytes`.
    `snapshots_bytes` are on the disk.
    """

    weights_bytes: int = 0
    kv_bytes: int = 0
    slots: int = 0
    resident: int = 0
    resident_bytes: int = 0
    parked: int = 0
    parked_bytes: int = 0
    snapshots_bytes: int = 0


async def memory_of(agent: Agent) -> MemoryUse | None:
    """Return what the model of an agent takes; None where it is not loaded or nobody says."""
    tell = getattr(agent, "memory", None)
    use = None if tell is None else await tell()
    return use if isinstance(use, MemoryUse) else None


async def tokens_in(agent: Agent, text: str) -> int | None:
    """Return how many tokens an agent's model makes of `text`.

    None where it is not loaded or nobody says. Raises what the agent raises.
    """
    count = getattr(agent, "count_tokens", None)
    tokens = None if count is None else await count(text)
    return tokens if isinstance(tokens, int) else None


def agent_for(agent: Agent, model: str | None, lora: str | None) -> Agent:
    """Return the agent of a thread that wants a model and an adapter, None for neither.

    It is `agent` itself where that has no choice of models.
    """
    bind = getattr(agent, "agent", None)
    bound: Agent = agent if bind is None else bind(model, lora)
    return bound


def ephemeral_agent(agent: Agent) -> Agent:
    """Return the agent for runs of which nothing is kept, with the same model and adapter.

    It is `agent` itself where that offers no other; then its `release` frees what it keeps.
    """
    make = getattr(agent, "ephemeral", None)
    made: Agent = agent if make is None else make()
    return made


async def use_model(
    agent: Agent, model: str, progress: Callable[[float], None] | None = None
) -> ModelInfo | None:
    """Have an agent load another model and answer with that; None where it has but its own.

    Raises what the agent raises; then it answers with the model it had.
    """
    use = getattr(agent, "use", None)
    info = None if use is None else await use(model, progress)
    return info if isinstance(info, ModelInfo) else None
