"""Handling of standard streams that are closed or broken."""

import io
import os
import sys
from contextlib import suppress

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_streams() -> None:
    """Open the standard streams that the caller has closed, on the null device.

    Otherwise the next opened file would get the descriptor of a standard stream. Open streams
    replace characters that their encoding lacks, so that these do not fail a command.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
        if stream is not None:
            continue
        try:
            os.fstat(number)
        except OSError:
            null_device = os.open(os.devnull, os.O_RDWR)
            os.dup2(null_device, number)
            if null_device != number:
                os.close(null_device)
        stream = open(number, mode, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - it stays open
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def flush_standard_streams() -> bool:
    """Flush stdout and stderr; return whether that succeeded.

    Output that cannot be written, for instance to a closed terminal, is dropped. Otherwise Python
    would retry at exit and replace the exit code.
    """
    is_written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            is_written = False
            with suppress(OSError, ValueError):
                null_device = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null_device, stream.fileno())
                os.close(null_device)
    return is_written
