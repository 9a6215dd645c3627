"""Editing the prompt in the user's editor."""

import asyncio
import shlex
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

_VARIABLES = ("VISUAL", "EDITOR")
_AT_ONCE_S = 2.0
"""An editor that ends within these seconds, without a change, may have opened a window."""
_TERMINAL_EDITORS = frozenset({
    "ed", "emacs", "emacs-nox", "helix", "hx", "jed", "joe", "jove", "kak", "kakoune", "mcedit",
    "mg", "micro", "nano", "ne", "nvi", "nvim", "pico", "rnano", "rview", "rvim", "tilde", "true",
    "vi", "view", "vim", "vimdiff", "env", "nano-tiny", "sensible-editor", "sudo", "zile",
})  # fmt: skip
"""Editors that end only when the user has finished."""
_WAIT_OPTIONS = {
    "emacsclient": "",
    "gnome-text-editor": "--standalone",
    "gvim": "--nofork",
    "kate": "--block",
    "kwrite": "--block",
    "mate": "--wait",
    "mvim": "--nofork",
    "open": "-W -n",
}
"""The option that makes an editor wait, if it is not `--wait` as for most."""
_SHORT_OPTIONS = {"--wait": "-w", "--nofork": "-f", "--block": "-b"}
_NO_WAIT_OPTIONS = ("-n", "--no-wait")
"""The options that keep emacsclient from waiting."""
_TERMINATE_TIMEOUT_S = 0.5
"""Seconds for an editor to save its files after SIGTERM."""

OnInterrupted = Callable[[str, Path | None], None]
"""Callback for an editor that was ended: the saved text, and the directory of its other files."""


class EditorError(Exception):
    """The prompt could not be edited; the message gives the reason and the remedy."""


def editor_command(environment: Mapping[str, str]) -> list[str]:
    """Return the command in VISUAL, else in EDITOR, as arguments. Raises `EditorError`."""
    for name in _VARIABLES:
        try:
            words = shlex.split(environment.get(name, ""))
        except ValueError as error:
            raise EditorError(f"{name} cannot be parsed: {error}. Correct it.") from error
        if words:
            return words
    raise EditorError(
        "No editor is set. Set VISUAL or EDITOR before you start koel-chat: export EDITOR=nano"
    )


async def edit_in_editor(
    text: str,
    command: Sequence[str],
    on_interrupted: OnInterrupted = lambda _text, _leftovers: None,
) -> str:
    """Edit `text` in an editor on the terminal and return the result.

    Raises `EditorError` if the editor cannot be started, fails, or does not wait for the user;
    OSError if the text cannot be written. The temporary directory is removed with all copies that
    the editor made in it. On cancellation the editor is ended; then its other files in the
    directory are kept. All files are kept if the editor did not wait, because it may be open.
    """
    directory = Path(tempfile.mkdtemp(prefix="koel-chat-"))
    path = directory / "prompt.md"
    leftovers: Path | None = None
    try:
        await asyncio.to_thread(_write, path, text)
        begin, written = monotonic(), modified_time(path)
        process = await _start(command, path)
        try:
            code = await process.wait()
        except asyncio.CancelledError:
            await _terminate(process)
            leftovers = directory if _has_other_files(path) else None
            on_interrupted(_read_back(path, text), leftovers)
            raise
        if code:
            name, kept = Path(command[0]).name, ""
            if modified_time(path) != written:
                leftovers, kept = directory, f" What you saved is in {path}"
            raise EditorError(f"{name!r} ended with {code}. The prompt is unchanged.{kept}")
        edited = await asyncio.to_thread(_read_back, path, text)
        is_unchanged = modified_time(path) == written
        if is_unchanged and (advice := wait_advice(command, monotonic() - begin)):
            leftovers = directory
            raise EditorError(f"{advice} What you save there now is in {path}")
        return edited
    finally:
        if leftovers is None:
            shutil.rmtree(directory, ignore_errors=True)


def wait_advice(command: Sequence[str], seconds: float) -> str:
    """Return the advice for an editor that ended after `seconds` without a change, or ''.

    Editors with windows often end at once, while their window is open.
    """
    name = Path(command[0]).name
    # `editor` is a link to one of them, and they have names like vim.nox.
    target = Path(shutil.which(command[0]) or command[0]).resolve().name
    names = {name, target, target.partition(".")[0]}
    if seconds > _AT_ONCE_S or names & _TERMINAL_EDITORS:
        return ""
    option = _WAIT_OPTIONS.get(name, "--wait")
    words = [word for word in command if name != "emacsclient" or word not in _NO_WAIT_OPTIONS]
    words += option.split()
    waits = option and (
        set(option.split()) <= set(command) or _SHORT_OPTIONS.get(option) in command
    )
    if waits or words == list(command):
        return ""
    return (
        f"{name!r} ended at once and changed nothing. If its window is open, let it wait: "
        f'VISUAL="{shlex.join(words)}".'
    )


async def _start(command: Sequence[str], path: Path) -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(*command, str(path))
    except OSError as error:
        raise EditorError(
            f"The editor {command[0]!r} cannot be started: {error.strerror or error}. "
            "Set VISUAL or EDITOR to another one."
        ) from error


async def _terminate(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):  # it received the signal too and has exited
        process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _TERMINATE_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def _write(path: Path, text: str) -> None:
    path.touch(0o600, exist_ok=False)
    path.write_text(text, "utf-8", "replace")


def modified_time(path: Path) -> int:
    """Return when a file was changed, in nanoseconds; 0 if it is not there."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _has_other_files(path: Path) -> bool:
    return any(each != path for each in path.parent.iterdir())


def _read_back(path: Path, text: str) -> str:
    """Return the content of the file, or `text` if the editor removed the file."""
    try:
        content = path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return text
    # Editors add a final newline that the user did not type.
    return content if text.endswith("\n") else content.removesuffix("\n")
