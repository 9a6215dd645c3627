"""Reading of stdin to its end, with a message while nothing arrives."""

import asyncio
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from koel_tui.cli.exit_codes import UsageProblem
from koel_tui.cli.stdio.streams import print_notice

_SILENCE_S = 2.0
"""Seconds without a byte after which the user is informed that the command waits."""
_CHUNK = 1 << 16
_WAITING = (
    "koel-chat: Waiting for the end of the text on stdin. "
    "To answer without it, add --no-stdin or < /dev/null."
)


async def read_stdin(max_bytes: int) -> bytes:
    """Return the bytes of stdin, up to its end or until there are more than `max_bytes`.

    A terminal is not read. Raises `UsageProblem` if stdin cannot be read.
    """
    if sys.stdin.isatty():
        return b""
    stream: BinaryIO | None = getattr(sys.stdin, "buffer", None)
    try:
        number = sys.stdin.fileno()
    except (OSError, ValueError):  # a program that calls `main` has replaced stdin
        return sys.stdin.read().encode() if stream is None else stream.read(max_bytes + 1)
    try:
        return await _read_to_end(number, max_bytes)
    except OSError as error:
        raise UsageProblem(
            f"stdin cannot be read: {error.strerror or error}. Pipe a text, or add --no-stdin."
        ) from error


async def _read_to_end(number: int, max_bytes: int) -> bytes:
    data, is_reported = bytearray(), False
    while len(data) <= max_bytes:
        readable = asyncio.Event()
        with _watched(number, readable):
            try:
                async with asyncio.timeout(None if is_reported else _SILENCE_S):
                    await readable.wait()
            except TimeoutError:
                is_reported = True
                print_notice(_WAITING)
                await readable.wait()
        with suppress(BlockingIOError):  # another process has read it first
            chunk = os.read(number, _CHUNK)
            if not chunk:
                break
            data += chunk
    return bytes(data)


@contextmanager
def _watched(number: int, readable: asyncio.Event) -> Iterator[None]:
    """Context manager that sets `readable` when a descriptor has bytes or has ended."""
    loop = asyncio.get_running_loop()
    if stat.S_ISREG(os.fstat(number).st_mode):  # never blocks; kqueue does not report its end
        readable.set()
    else:
        try:
            loop.add_reader(number, readable.set)
        except OSError:  # epoll and kqueue refuse devices that never block, such as /dev/null
            readable.set()
    try:
        yield
    finally:
        loop.remove_reader(number)


def is_stdin_partly_read() -> bool:
    """Return whether stdin is a file of which another process, such as a loop, has read a part."""
    try:
        return sys.stdin.seekable() and os.lseek(sys.stdin.fileno(), 0, os.SEEK_CUR) > 0
    except (OSError, ValueError):
        return False


def is_stdin_of_shell() -> bool:
    """Return whether the parent process is a shell with the same stdin; False without /proc.

    The shell may run a script that passes its stdin on, or a loop that reads it.
    """
    parent = Path("/proc") / str(os.getppid())
    try:
        # The names of all common shells end in "sh". Other callers, such as `timeout` or `uv run`,
        # pass their stdin on and do not read it.
        if not (parent / "comm").read_text().strip().endswith("sh"):
            return False
        return os.path.samestat((parent / "fd" / "0").stat(), os.fstat(sys.stdin.fileno()))
    except (OSError, ValueError):
        return False
