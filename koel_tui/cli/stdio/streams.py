"""Handling of standard streams that are closed, broken or limited by their encoding."""

import codecs
import io
import os
import sys
import traceback
from contextlib import suppress
from typing import IO, Any, TextIO

import click

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))
_RAISING_ERROR_HANDLERS = ("strict", "surrogateescape", "surrogatepass")
"""Error handlers that raise for some characters, for example an emoji in ISO-8859-1."""


def open_standard_streams() -> None:
    """Open each closed standard stream on the null device.

    Otherwise the next opened file would get the descriptor of a standard stream. Open streams
    get errors='replace', so that a character outside their encoding does not end the command.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        stream = _with_buffer(name)
        if isinstance(stream, io.TextIOWrapper) and stream.errors in _RAISING_ERROR_HANDLERS:
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
        opened = open(number, mode, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - it stays open
        _replace_stream(name, opened)


def _with_buffer(name: str) -> TextIO | None:
    """Return a standard stream of `sys`, with a buffer added if Python has opened it without one.

    Without a buffer (PYTHONUNBUFFERED), Python silently drops the rest after a partial write.
    """
    stream: TextIO | None = getattr(sys, name)
    raw = getattr(stream, "buffer", None)
    if not isinstance(stream, io.TextIOWrapper) or not isinstance(raw, io.RawIOBase):
        return stream
    encoding, errors = stream.encoding, stream.errors
    stream.detach()
    buffered = io.TextIOWrapper(
        io.BufferedWriter(raw), encoding=encoding, errors=errors, line_buffering=True
    )
    _replace_stream(name, buffered)
    return buffered


def _replace_stream(name: str, stream: IO[Any]) -> None:
    setattr(sys, name, stream)
    setattr(sys, f"__{name}__", stream)


def count_unencodable(text: str) -> int:
    """Return the number of characters that stdout replaces because its encoding lacks them."""
    encoding = sys.stdout.encoding or "utf-8"
    if codecs.lookup(encoding).name in ("utf-8", "ascii"):  # click writes UTF-8 instead of ASCII
        return 0
    missing = {char for char in set(text) if not char.encode(encoding, "ignore")}
    return sum(char in missing for char in text)


def print_notice(text: str, *, newline: bool = True) -> None:
    """Print a notice on stderr. A failure is ignored and does not change the exit code."""
    with suppress(OSError):
        click.echo(text, nl=newline, err=True)


def is_output_error(error: BaseException) -> bool:
    """Return whether an error is the failure of a command to write its output."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_globals.get("__name__") for frame in frames[-1:]]
    return isinstance(error, OSError) and names == [click.echo.__module__]


def flush_standard_streams() -> bool:
    """Flush stdout and stderr; return whether stdout could be written.

    Output that cannot be written, for instance to a closed terminal, is dropped. Otherwise Python
    would retry at exit and replace the exit code. Notices on stderr do not change the exit code.
    """
    is_written = True
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            is_written = is_written and stream is not sys.stdout
            with suppress(OSError, ValueError):
                null_device = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null_device, stream.fileno())
                os.close(null_device)
    return is_written
