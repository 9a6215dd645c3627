"""Helpers that run `ask` with piped stdin, in this process or in a separate one."""

import io
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence

from tests.cli.commands import PROGRAM

NO_MODEL = ("--model", "/nowhere.gguf")
"""Options with which `ask` reads its question and then exits with 66 without loading a model."""


def stdin_of(data: bytes, encoding: str = "utf-8") -> io.TextIOWrapper:
    """Return an in-memory stdin that decodes `data` as a real one does."""
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
    """Start the program with this stdin and the default signal handlers."""
    return subprocess.Popen(
        [PROGRAM, *words], stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: [signal.signal(each, signal.SIG_DFL) for each in
                            (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)],
    )  # fmt: skip
