"""The transport to a worker in the runner process: frames over a socket pair."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from koel_tui import paths
from koel_tui.engine.callbacks import call_isolated
from koel_tui.engine.errors import EngineCrashedError
from koel_tui.engine.runner.frame_protocol import FrameProtocol
from koel_tui.engine.runner.output import RunnerOutput
from koel_tui.engine.wire_messages import (
    Command,
    Crashed,
    Event,
    Shutdown,
    command_codec,
    event_codec,
)
from koel_tui.system.processes import kill, kill_and_wait, module_command, signal_name

_log = logging.getLogger(__name__)
_EXIT_TIMEOUT_S = 3.0


class ProcessTransport:
    """Transport to a child process, `python -m koel_tui.engine.runner.process`.

    The child's stdout and stderr, including llama.cpp's failed assertions, go to the log.
    """

    def __init__(self, log: Path | None = None) -> None:
        self._log = log or paths.log_file()
        self._commands = command_codec()
        self._events = event_codec()
        self._process: asyncio.subprocess.Process | None = None
        self._channel: asyncio.Transport | None = None
        self._reading: asyncio.Task[None] | None = None
        self._closing = False
        self._kill_reason = ""  # reason of `kill`, if it was called

    @property
    def pid(self) -> int | None:
        """Process id of the runner; None if it is not running."""
        return None if self._process is None else self._process.pid

    async def open(self, receive: Callable[[Event], None]) -> None:
        """Start the runner. Raises `EngineCrashedError` on failure."""
        ours, theirs = socket.socketpair()
        self._kill_reason = ""
        try:
            output = RunnerOutput(self._log)
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *module_command(
                        "koel_tui.engine.runner.process", str(theirs.fileno()), str(self._log)
                    ),
                    pass_fds=(theirs.fileno(),),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output.descriptor,
                    stderr=output.descriptor,
                    start_new_session=True,  # ctrl+c in the terminal is for the app only
                )
            except BaseException:
                output.close()
                raise
        except OSError as error:
            ours.close()
            raise EngineCrashedError(f"Cannot start the engine process: {error}.") from error
        finally:
            theirs.close()

        def read(frame: bytes) -> None:
            call_isolated(receive, self._events.decode(frame))

        self._channel, frames = await asyncio.get_running_loop().create_connection(
            lambda: FrameProtocol(read), sock=ours
        )
        self._reading = asyncio.create_task(
            self._wait_ended(frames, self._process, output, receive), name="engine events"
        )

    def send(self, command: Command) -> None:
        """Send a command; drop it if the runner has ended, which `Crashed` reports.

        Raises `UnsupportedError` or `EngineError` if the command cannot be serialized.
        """
        frame = self._commands.encode(command)
        if self._channel is not None and not self._channel.is_closing():
            self._channel.write(frame)

    def kill(self, reason: str) -> None:
        """Kill the runner; `Crashed` gives `reason` as the reason."""
        if self._process is not None and self._process.returncode is None:
            self._kill_reason = reason
            kill(self._process)

    async def close(self) -> None:
        """Ask the runner to end, kill it after a timeout, and wait for its end."""
        self._closing = True
        self.send(Shutdown())
        process = self._process
        if process is not None:
            try:
                await asyncio.wait_for(process.wait(), _EXIT_TIMEOUT_S)
            except TimeoutError:
                await kill_and_wait(process)
            except asyncio.CancelledError:  # kill without waiting for the end
                kill(process)
                raise
        if self._reading is not None:
            await self._reading
        self._process = None

    async def _wait_ended(
        self,
        frames: FrameProtocol,
        process: asyncio.subprocess.Process,
        output: RunnerOutput,
        receive: Callable[[Event], None],
    ) -> None:
        """Wait until the runner ends, then deliver `Crashed` with the exit reason."""
        try:
            await frames.wait_ended()
        except Exception:
            _log.exception("The engine process sent something that is not an event")
            kill(process)  # its further output cannot be parsed
        finally:
            if self._channel is not None:
                self._channel.close()
        code = await process.wait()
        assertion = output.failed_assertion() if code == -signal.SIGABRT else ""
        output.close()
        if not self._closing:
            call_isolated(receive, Crashed(self._exit_reason(code, assertion)))

    def _exit_reason(self, code: int, assertion: str) -> str:
        exit_status = f"by signal {signal_name(-code)}" if code < 0 else f"with code {code}"
        outcome = (
            self._kill_reason or f"ended {exit_status}{f' ({assertion})' if assertion else ''}"
        )
        return f"The engine process {outcome}. Details are in {self._log}."
