"""What some agents can tell of their model, and others cannot: asked for where it is there."""

from dataclasses import dataclass

from koel_tui.agents.agent import Agent


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """What a model takes, in bytes.

    `kv_bytes` is the context of all `slots` together, of which `resident` threads fill
    `resident_bytes`; `parked` threads lie beside it in `parked_bytes`. Snapshots are on the disk.
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
