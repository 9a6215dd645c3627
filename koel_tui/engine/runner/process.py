"""The runner process: the worker on its main thread, commands and events over a socket.

Started as `python -m koel_tui.engine.runner.process SOCKET_FD LOG_FILE`. It ends with `Shutdown`
or when the parent's end of the socket closes, so no runner outlives its parent.
"""

import gc
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from koel_tui.engine.native.worker import Worker
from koel_tui.engine.wire_messages import (
    HEADER,
    MAX_FRAME_BYTES,
    Command,
    Event,
    Failed,
    Shutdown,
    command_codec,
    error_reply,
    event_codec,
)
from koel_tui.llama_log_parsing import NO_BACKTRACE_VARIABLE
from koel_tui.logs import LogFile

_log = logging.getLogger(__name__)


def main(arguments: list[str]) -> None:
    """Run until the parent sends `Shutdown` or ends."""
    descriptor, log = int(arguments[0]), arguments[1]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    disable_crash_dumps()
    logging.basicConfig(level=logging.INFO, handlers=[LogFile(Path(log))])
    with socket.socket(fileno=descriptor) as channel:
        serve(channel)


def disable_crash_dumps() -> None:
    """Keep crash dumps off the disk, because they would contain conversations."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.environ[NO_BACKTRACE_VARIABLE] = "1"


def serve(channel: socket.socket) -> None:
    """Execute the commands of `channel` until it closes, on the calling thread."""
    encode = event_codec().encode

    def emit(event: Event) -> None:
        # Blocks while the parent does not read, so a slow app cannot make events accumulate.
        try:
            channel.sendall(encode(event))
        except OSError:
            os._exit(0)  # the parent has ended

    worker = Worker(emit)
    threading.Thread(
        target=_receive_commands, args=(channel, worker), name="commands", daemon=True
    ).start()
    gc.freeze()
    worker.run()


def _receive_commands(channel: socket.socket, worker: Worker) -> None:
    """Post the parent's commands; end the process if the parent ends or sends an invalid frame.

    The process exits at once, because native code may run for long and its result is not needed.
    """
    code = 0
    try:
        with channel.makefile("rb") as stream:
            for command in _read_commands(stream):
                worker.post(command)
                if isinstance(command, Shutdown):
                    return
    except OSError:
        pass  # a parent killed before it read all events resets the connection
    except Exception:
        _log.exception("The commands of the parent cannot be read any further")
        code = 1
    os._exit(code)


def _read_commands(stream: BinaryIO) -> Iterator[Command | Failed]:
    """Yield the commands of a stream, or for an invalid command the answer to its caller."""
    decode = command_codec().decode
    while len(header := stream.read(HEADER.size)) == HEADER.size:
        (length,) = HEADER.unpack(header)
        if length > MAX_FRAME_BYTES:
            raise ValueError(f"a frame of {length} bytes")
        body = stream.read(length)
        if len(body) < length:
            return  # the parent was killed while sending
        try:
            yield decode(body)
        except ValueError as error:
            _log.error("The parent sent an invalid command: %s", error)
            answer = error_reply(body, error)
            if answer is not None:
                yield answer


if __name__ == "__main__":
    main(sys.argv[1:])
