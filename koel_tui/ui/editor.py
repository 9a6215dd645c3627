"""Writing the prompt in an editor of the user's choice."""

import asyncio
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

_NAMES = ("VISUAL", "EDITOR")


class EditorError(Exception):
    """The prompt could not be edited; the message says why and what to do."""


def editor_command(environment: Mapping[str, str]) -> list[str]:
    """Return the words of the command that VISUAL names, else EDITOR. Raises `EditorError`."""
    for name in _NAMES:
        try:
            words = shlex.split(environment.get(name, ""))
        except ValueError as error:
            raise EditorError(f"{name} cannot be understood: {error}. Correct it.") from error
        if words:
            return words
    raise EditorError(
        "No editor is named. Set VISUAL or EDITOR before the start: export EDITOR=nano"
    )


async def edited(text: str, command: Sequence[str]) -> str:
    """Return what `text` is after the editor ended, which runs on the terminal.

    Raises `EditorError` when it cannot be started or does not end well, OSError when there is no
    place for the text. Nothing of it is left on the disk, copies the editor makes beside it
    included.
    """
    with tempfile.TemporaryDirectory(prefix="koel-chat-", ignore_cleanup_errors=True) as directory:
        path = Path(directory) / "prompt.md"
        await asyncio.to_thread(_write, path, text)
        try:
            process = await asyncio.create_subprocess_exec(*command, str(path))
        except OSError as error:
            raise EditorError(
                f"The editor {command[0]!r} cannot be started: {error.strerror or error}. "
                "Set VISUAL or EDITOR to another one."
            ) from error
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            raise
        if code:
            name = Path(command[0]).name
            raise EditorError(f"{name!r} ended with {code}; the prompt is as it was.")
        written = await asyncio.to_thread(path.read_text, "utf-8", "replace")
    # Editors end a file with a newline, which the user did not write.
    return written if text.endswith("\n") else written.removesuffix("\n")


def _write(path: Path, text: str) -> None:
    path.touch(0o600, exist_ok=False)
    path.write_text(text, "utf-8", "replace")
