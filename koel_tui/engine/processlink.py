"""The link to a worker in the runner process: frames over a socket pair."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from koel_tui import paths
from koel_tui.engine.errors import EngineCrashedError
from koel_tui.engine.frames import (
    FRAME_LIMIT,
    HEADER,
    Command,
    Crashed,
    Event,
    Shutdown,
    command_codec,
    event_codec,
)

_GRACE_S = 3.0
_LAST_BYTES = 4096
_DIRECTORY = re.compile(r"^\S*/")


class ProcessLink:
    """Starts `python -m koel_tui.engine.runner` and talks to it.

    The runner's own output, llama.cpp's last words before an abort included, goes to the log.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._log = log or paths.log_file()
        self._commands = command_codec()
        self._events = event_codec()
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self._closing = False
        self._log_begin = 0  # where what this runner says begins
        self._why = ""  # it was killed, if it was

    @property
    def pid(self) -> int | None:
        """Process id of the runner; None while none runs."""
        return None if self._process is None else self._process.pid

    async def open(self, receive: Callable[[Event], None]) -> None:
        """Start the runner. Raises `EngineCrashedError` when that fails."""
        ours, theirs = socket.socketpair()
        self._why = ""
        try:
            paths.private_directory(self._log.parent)
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
            output = os.open(self._log, flags, 0o600)
            self._log_begin = os.fstat(output).st_size
            try:
                self._process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-P",  # a module in the user's directory must not shadow ours
                    "-m",
                    "koel_tui.engine.runner",
                    str(theirs.fileno()),
                    str(self._log),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,  # ctrl+c at the terminal is the window's business
                )
            finally:
                os.close(output)
        except (OSError, paths.DirectoryError) as error:
            ours.close()
            raise EngineCrashedError(f"Cannot start the engine process: {error}.") from error
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reading = asyncio.create_task(
            self._read(reader, self._process, receive), name="engine events"
        )

    def send(self, command: Command) -> None:
        """Send a command; dropped when the runner is gone, its callers hear of that by event."""
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(self._commands.encode(command))

    def kill(self, why: str) -> None:
        """Kill the runner; its end is told in these words."""
        if self._process is not None and self._process.returncode is None:
            self._why = why
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                self._process.kill()

    async def close(self) -> None:
        """Ask the runner to end, kill it when it does not, and wait for it."""
        self._closing = True
        self.send(Shutdown())
        process = self._process
        if process is not None:
            try:
                await asyncio.wait_for(process.wait(), _GRACE_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):  # it ended just now
                    process.kill()
                await process.wait()
            except asyncio.CancelledError:  # nobody waits any more
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                raise
        if self._reading is not None:
            await self._reading
        self._process = None

    async def _read(
        self,
        reader: asyncio.StreamReader,
        process: asyncio.subprocess.Process,
        receive: Callable[[Event], None],
    ) -> None:
        """Pass events on until the runner is gone, then say how it ended."""
        try:
            while True:
                (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
                if length > FRAME_LIMIT:
                    raise ValueError(f"a frame of {length} bytes")
                receive(self._events.decode(await reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the runner is gone; why is in its exit code
        except ValueError:
            with contextlib.suppress(ProcessLookupError):  # it ended just now
                process.kill()  # what it sends is not to be trusted any further
        finally:
            if self._writer is not None:
                self._writer.close()
        code = await process.wait()
        if not self._closing:
            receive(Crashed(self._epitaph(code)))

    def _epitaph(self, code: int) -> str:
        how = f"by signal {_signal_name(-code)}" if code < 0 else f"with code {code}"
        aborted = code == -signal.SIGABRT
        what = self._why or f"ended {how}{self._last_words() if aborted else ''}"
        return f"The engine process {what}. Details are in {self._log}."

    def _last_words(self) -> str:
        """Return the assertion llama.cpp died of, if this runner's part of the log has one."""
        try:
            with self._log.open("rb") as log:
                size = self._log.stat().st_size
                begin = self._log_begin if self._log_begin <= size else 0  # a new file was begun
                log.seek(max(begin, size - _LAST_BYTES))
                lines = log.read().decode("utf-8", "replace").splitlines()
        except OSError:
            return ""
        asserted = next((line.strip() for line in reversed(lines) if "ASSERT" in line), "")
        # Without the directory it was built in, which says nothing and takes a line.
        return f" ({_DIRECTORY.sub('', asserted)})" if asserted else ""


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # most real-time signals have none
        return str(number)
