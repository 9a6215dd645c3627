"""The memory available to this process: system, cgroup and `RLIMIT_AS`."""

import resource
from pathlib import Path

import psutil

_CGROUPS = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Return the bytes free for this process: of the machine, its container and its own limit.

    A container kills a process that exceeds its limit, even if the machine has free memory.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    limits = [psutil.virtual_memory().available, free_in_container(_CGROUPS)]
    if most != resource.RLIM_INFINITY:
        limits.append(most - psutil.Process().memory_info().vms)
    return max(0, min(each for each in limits if each is not None))


def free_in_container(folder: Path) -> int | None:
    """Return the bytes free in the control group mounted at `folder`; None without a limit.

    Its page cache counts as free, because the system reclaims it when needed.
    """
    try:
        most, held = ((folder / f"memory.{each}").read_text() for each in ("max", "current"))
        rows = [line.split() for line in (folder / "memory.stat").read_text().splitlines()]
        files = sum(int(size) for name, size in rows if name in ("active_file", "inactive_file"))
        return int(most) - int(held) + files  # `max` is not a number if there is no limit
    except (OSError, ValueError):
        return None
