"""How many processors there are to compute on."""

import os

import psutil


def usable_cores() -> int:
    """Return the cores of this computer, or fewer where the process may not use all of them.

    A container or `taskset` gives a process some of the processors; more threads than those only
    wait for each other.
    """
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return min(cores, allowed)
