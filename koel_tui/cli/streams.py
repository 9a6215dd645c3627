"""Standard streams of a program that was started without some of them, or has lost one."""

import io
import os
import sys
from contextlib import suppress

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_standard_streams() -> None:
    """Open those that the caller has closed: nothing comes from them, and nothing goes there.

    Else the next file that is opened would be taken for one of them. In the open ones a character
    that the encoding does not have is replaced, so it ends no command.
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
            nowhere = os.open(os.devnull, os.O_RDWR)
            os.dup2(nowhere, number)
            if nowhere != number:
                os.close(nowhere)
        stream = open(number, mode, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - it stays open
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def end_standard_streams() -> bool:
    """Write out what still waits; say whether that could be done.

    What cannot be written, to a terminal that was closed for instance, is dropped: Python would
    try once more at the end, and end with a code of its own.
    """
    written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            written = False
            with suppress(OSError, ValueError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, stream.fileno())
                os.close(nowhere)
    return written
