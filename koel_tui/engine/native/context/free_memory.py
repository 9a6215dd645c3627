"""The free memory of this process, and the check that a context fits into it."""

import resource
from pathlib import Path

import psutil

from koel_tui.engine.errors import ModelLoadError

_CGROUPS = Path("/sys/fs/cgroup")
_COMPUTE_BYTES = 128 * 1024 * 1024
"""Approximate size of a context without its KV cache: the buffers of one batch."""


def free_memory() -> int:
    """Return the bytes free for this process: of the machine, its container and its own limit.

    A container kills a process that exceeds its limit, even if the machine has free memory.
    """
    address_limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    limits = [psutil.virtual_memory().available, free_container_memory(_CGROUPS)]
    if address_limit != resource.RLIM_INFINITY:
        limits.append(address_limit - psutil.Process().memory_info().vms)
    return max(0, min(each for each in limits if each is not None))


def free_container_memory(folder: Path) -> int | None:
    """Return the bytes free in the control group mounted at `folder`; None without a limit.

    Its page cache counts as free, because the system reclaims it when needed.
    """
    try:
        limit, used = ((folder / f"memory.{each}").read_text() for each in ("max", "current"))
        rows = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
        file_cache = sum(
            int(size) for name, size in rows if name in ("active_file", "inactive_file")
        )
        return int(limit) - int(used) + file_cache  # `max` is not a number if there is no limit
    except (OSError, ValueError):
        return None


def check_memory(slots: int, context_tokens: int, token_bytes: int, free: int) -> None:
    """Reject a context that does not fit the free memory, because llama.cpp may abort on it.

    Raises `ModelLoadError` with both numbers.
    """
    needed = slots * context_tokens * token_bytes + _COMPUTE_BYTES
    if needed > free * 0.9:
        raise ModelLoadError(
            f"A context of {slots} x {context_tokens} tokens needs {needed / 1e6:,.0f} MB and "
            f"{free / 1e6:,.0f} MB are free. Use a smaller context (--context-tokens) or fewer "
            "contexts (--max-sessions)."
        )
