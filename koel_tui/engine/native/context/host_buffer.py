"""Large buffers of host memory, for contexts that are copied out of llama.cpp."""

import mmap
from contextlib import suppress

Buffer = mmap.mmap


def host_buffer(size: int) -> Buffer:
    """Return `size` bytes of private memory, given back to the system as soon as it is dropped.

    On Linux in huge pages: most of the time of copying a context goes into touching fresh pages
    for the first time, and these are 512 times fewer. Raises MemoryError.
    """
    try:
        buffer = mmap.mmap(-1, max(1, size), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError as error:
        raise MemoryError(f"{size} bytes") from error
    if hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # a kernel without huge pages refuses the advice
            buffer.madvise(mmap.MADV_HUGEPAGE)
    return buffer
