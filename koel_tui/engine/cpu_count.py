"""The number of usable CPU cores."""

import os

import psutil


def usable_cores() -> int:
    """Return the number of physical cores, limited by the CPU affinity of this process.

    A container or `taskset` may restrict the process to some CPUs; more threads than CPUs only
    wait for each other.
    """
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores
    return min(cores, allowed)
