"""Writing the prompt in an editor of the user's choice."""

import asyncio
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

_NAMES = ("VISUAL", "EDITOR")
_PATIENCE = 0.5
"""Seconds for an editor to save what it wants to save when it has to end."""

Interrupted = Callable[[str, Path | None], None]
"""Hears what was saved in an editor that had to end, and where other files of it are, if any."""


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


async def edited(
    text: str, command: Sequence[str], interrupted: Interrupted = lambda _text, _left: None
) -> str:
    """Return what `text` is after the editor ended, which runs on the terminal.

    Raises `EditorError` when it cannot be started or does not end well, OSError when there is no
    place for the text. Nothing of it is left on the disk, copies the editor makes beside it
    included. Cancelled it ends the editor; only then what that puts beside the text is left.
    """
    directory = Path(tempfile.mkdtemp(prefix="koel-chat-"))
    path = directory / "prompt.md"
    left: Path | None = None
    try:
        await asyncio.to_thread(_write, path, text)
        process = await _started(command, path)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _end(process)
            left = directory if _has_others(path) else None
            interrupted(_written(path, text), left)
            raise
        if code:
            name = Path(command[0]).name
            raise EditorError(f"{name!r} ended with {code}; the prompt is as it was.")
        return await asyncio.to_thread(_written, path, text)
    finally:
        if left is None:
            shutil.rmtree(directory, ignore_errors=True)


async def _started(command: Sequence[str], path: Path) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(*command, str(path))
    except OSError as error:
        raise EditorError(
            f"The editor {command[0]!r} cannot be started: {error.strerror or error}. "
            "Set VISUAL or EDITOR to another one."
        ) from error


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):  # it heard of the signal itself
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _PATIENCE)
    except TimeoutError:
        process.kill()
        await process.wait()


def _write(path: Path, text: str) -> None:
    path.touch(0o600, exist_ok=False)
    path.write_text(text, "utf-8", "replace")


def _has_others(path: Path) -> bool:
    return any(each != path for each in path.parent.iterdir())


def _written(path: Path, text: str) -> str:
    """Return what is in the file; the text as it was where the editor took the file away."""
    try:
        written = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return text
    # Editors end a file with a newline, which the user did not write.
    return written if text.endswith("\n") else written.removesuffix("\n")
