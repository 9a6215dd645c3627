"""`ask` with a real descriptor as its stdin, in this process and in a separate one."""

import io
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from tests.cli.commands import PROGRAM

NO_MODEL = ("--model", "/nowhere.gguf")
"""Options with which `ask` reads its question and then ends with 66, without loading a model."""


def stdin_of(data: bytes, encoding: str = "utf-8") -> io.TextIOWrapper:
    """Return a stdin in memory, as one with a descriptor would be decoded."""
    return io.TextIOWrapper(io.BytesIO(data), encoding=encoding)


def piped(
    *words: str, data: bytes = b"", environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run the program with these bytes on its stdin."""
    return subprocess.run(
        [PROGRAM, *words], input=data, capture_output=True, timeout=60,
        env={**os.environ, "KOEL_THREADS": "1", **(environment or {})},
    )  # fmt: skip


def started(words: Sequence[str], stdin: int) -> "subprocess.Popen[str]":
    """Start the program with this stdin, and with signals that end it."""
    return subprocess.Popen(
        [PROGRAM, *words], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in
                            (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
    )  # fmt: skip
