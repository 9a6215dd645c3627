"""The parent's side of the child process that renders a chat template."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PROGRAM = Path(__file__).with_name("template_sandbox.py")
_START_VARIABLES = ("LD_LIBRARY_PATH", "PYTHONHOME", "TZ")
"""Environment variables passed to the child, because its Python may not start without them."""
_START_PREFIXES = ("DYLD_", "NIX_LD")
"""Prefixes of further such variables: macOS (for example DYLD_FALLBACK_LIBRARY_PATH) and NixOS."""
_CODE_VARIABLES = ("DYLD_INSERT_LIBRARIES",)
"""Variables that load code into every process; they are not passed to the child."""
_TIMED_OUT = (-signal.SIGPROF, -signal.SIGALRM)


class RenderError(Exception):
    """A failure of the template; `final`: a retry would take as long and fail again."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


class Renderer:
    """Renders one template in a child process, which is restarted after it exceeds a limit.

    Call `close` at the end. Use it from one thread at a time. When this process ends for any
    reason, the child process ends, too.
    """

    def __init__(self, source: str) -> None:
        """Start the child process. Raises `RenderError` when the template is invalid."""
        self._source = source
        self._process: subprocess.Popen[bytes] | None = None
        self.variables = frozenset(self._start()["variables"])
        """The names of the variables that the template uses."""

    def render(self, variables: Mapping[str, Any]) -> str:
        """Return the template rendered with the variables. Raises `RenderError`."""
        if self._process is None:
            self._start()
        return str(self._ask(variables)["text"])

    def close(self) -> None:
        """Stop the child process. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def __del__(self) -> None:
        self.close()

    def _start(self) -> dict[str, Any]:
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own program, no shell
                # The user's environment and modules in other directories have no effect, and
                # without `site` the process starts in half the time.
                [sys.executable, "-P", "-S", str(_PROGRAM)],
                env=_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # ctrl+c in the terminal is handled by the app
            )
        except OSError as error:
            raise RenderError(
                f"the template process does not start: {error}", final=True
            ) from error
        try:
            return self._ask({"source": self._source})
        except RenderError:
            self.close()
            raise

    def _ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        process = self._process
        assert process and process.stdin and process.stdout  # noqa: S101 - started, with pipes
        try:
            request_line = json.dumps(request).encode() + b"\n"
        except RecursionError:
            raise RenderError("the conversation is nested too deeply") from None
        try:
            process.stdin.write(request_line)
            process.stdin.flush()
            reply_line = process.stdout.readline()
        except OSError:
            reply_line = b""
        if not reply_line:
            raise RenderError(self._close_and_explain(process), final=True)
        reply: dict[str, Any] = json.loads(reply_line)
        if "error" in reply:
            raise RenderError(reply["error"])
        return reply

    def _close_and_explain(self, process: subprocess.Popen[bytes]) -> str:
        code = process.wait()
        self.close()
        if code in _TIMED_OUT:
            return "rendering takes too long"
        return f"the template process ended with {code}"


def _environment() -> dict[str, str]:
    directories = {
        str(Path(spec.origin).parent.parent)
        for spec in map(importlib.util.find_spec, ("jinja2", "markupsafe"))
        if spec is not None and spec.origin is not None
    }
    inherited = {
        name: value
        for name, value in os.environ.items()
        if (name in _START_VARIABLES or name.startswith(_START_PREFIXES))
        and name not in _CODE_VARIABLES
    }
    return {**inherited, "PYTHONPATH": os.pathsep.join(directories), "PYTHONUTF8": "1"}
