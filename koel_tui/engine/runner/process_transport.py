"""The link to a worker in the runner process: frames over a socket pair."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from koel_tui import paths
from koel_tui.engine.callbacks import isolated
from koel_tui.engine.errors import EngineCrashedError
from koel_tui.engine.runner.output import RunnerOutput
from koel_tui.engine.wire_messages import (
    FRAME_LIMIT,
    HEADER,
    Command,
    Crashed,
    Event,
    Shutdown,
    command_codec,
    event_codec,
)
from koel_tui.system.processes import command, end, kill, signal_name

_log = logging.getLogger(__name__)
_GRACE_S = 3.0


class ProcessTransport:
    """Starts `python -m koel_tui.engine.runner.process` and talks to it.

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
            output = RunnerOutput(self._log)
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *command(
                        "koel_tui.engine.runner.process", str(theirs.fileno()), str(self._log)
                    ),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output.descriptor,
                    stderr=output.descriptor,
                    start_new_session=True,  # ctrl+c at the terminal is the window's business
                )
            except BaseException:
                output.close()
                raise
        except (OSError, paths.DirectoryError) as error:
            ours.close()
            raise EngineCrashedError(f"Cannot start the engine process: {error}.") from error
        finally:
            theirs.close()
        reader, self._writer = await asyncio.open_connection(sock=ours)
        self._reading = asyncio.create_task(
            self._read(reader, self._process, output, receive), name="engine events"
        )

    def send(self, command: Command) -> None:
        """Send a command; dropped when the runner is gone, its callers hear of that by event.

        Raises `UnsupportedError` or `EngineError` when it cannot be encoded.
        """
        frame = self._commands.encode(command)
        if self._writer is not None and not self._writer.is_closing():
            self._writer.write(frame)

    def kill(self, why: str) -> None:
        """Kill the runner; its end is told in these words."""
        if self._process is not None and self._process.returncode is None:
            self._why = why
            kill(self._process)

    async def close(self) -> None:
        """Ask the runner to end, kill it when it does not, and wait for it."""
        self._closing = True
        self.send(Shutdown())
        process = self._process
        if process is not None:
            try:
                await asyncio.wait_for(process.wait(), _GRACE_S)
            except TimeoutError:
                await end(process)
            except asyncio.CancelledError:  # nobody waits any more
                kill(process)
                raise
        if self._reading is not None:
            await self._reading
        self._process = None

    async def _read(
        self,
        reader: asyncio.StreamReader,
        process: asyncio.subprocess.Process,
        output: RunnerOutput,
        receive: Callable[[Event], None],
    ) -> None:
        """Pass events on until the runner is gone, then say how it ended."""
        try:
            while True:
                (length,) = HEADER.unpack(await reader.readexactly(HEADER.size))
                if length > FRAME_LIMIT:
                    raise ValueError(f"a frame of {length} bytes")
                event = self._events.decode(await reader.readexactly(length))
                isolated(receive, event)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the runner is gone; why is in its exit code
        except Exception:
            _log.exception("The engine process sent something that is no event")
            kill(process)  # what it sends is not to be trusted any further
        finally:
            if self._writer is not None:
                self._writer.close()
        code = await process.wait()
        words = output.last_words() if code == -signal.SIGABRT else ""
        output.close()
        if not self._closing:
            isolated(receive, Crashed(self._epitaph(code, words)))

    def _epitaph(self, code: int, words: str) -> str:
        how = f"by signal {signal_name(-code)}" if code < 0 else f"with code {code}"
        what = self._why or f"ended {how}{f' ({words})' if words else ''}"
        return f"The engine process {what}. Details are in {self._log}."
