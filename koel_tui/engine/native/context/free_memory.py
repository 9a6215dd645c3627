"""The free memory of this process, and the check that a context fits into it."""

import resource
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class MemoryShare:
    """The part of a context that is in one memory: the bytes free there, and those of a slot.

    `memory` names it in messages; `remedy` is what also helps if it is short, '' if nothing does.
    """

    free_bytes: int
    slot_bytes: int
    memory: str = "RAM"
    remedy: str = ""


def check_memory(slots: int, context_tokens: int, share: MemoryShare) -> None:
    """Reject a context that does not fit a memory, because llama.cpp may abort on it.

    Raises `ModelLoadError` with the memory that is short, and both numbers.
    """
    needed = slots * share.slot_bytes + _COMPUTE_BYTES
    if needed > share.free_bytes * 0.9:
        remedies = ["a smaller context (--context-tokens)", "fewer contexts (--max-sessions)"]
        remedies += [share.remedy] if share.remedy else []
        raise ModelLoadError(
            f"A context of {slots} x {context_tokens} tokens needs {needed / 1e6:,.0f} MB and "
            f"{share.free_bytes / 1e6:,.0f} MB are free in {share.memory}. "
            f"Use {' or '.join(remedies)}."
        )
