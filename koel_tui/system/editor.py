"""Editing the prompt in the user's editor."""

import asyncio
import codecs
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
_START_S = 30.0
"""The same for an editor that is known to open one: it may take longer to start."""
_TERMINAL_EDITORS = frozenset({
    "ed", "emacs", "emacs-nox", "helix", "hx", "jed", "joe", "jove", "kak", "kakoune", "mcedit",
    "mg", "micro", "nano", "ne", "nvi", "nvim", "pico", "rnano", "rview", "rvim", "tilde", "true",
    "vi", "view", "vim", "vimdiff", "nano-tiny", "sensible-editor", "sudo", "sudoedit", "zile",
})  # fmt: skip
"""Editors that end only when the user has finished."""
_WINDOW_EDITORS = frozenset({
    "atom", "bbedit", "clion", "code", "code-insiders", "codium", "cot", "cursor", "gedit",
    "goland", "idea", "lapce", "nova", "phpstorm", "pulsar", "pycharm", "rider", "rubymine",
    "rustrover", "subl", "sublime_text", "vscodium", "webstorm", "windsurf", "xed", "zed",
    "zeditor",
})  # fmt: skip
"""Editors that open a window and take `--wait`."""
_WAIT_OPTIONS = {
    "emacsclient": "",
    "geany": "--new-instance",
    "gnome-text-editor": "--standalone",
    "gvim": "--nofork",
    "kate": "--block",
    "kwrite": "--block",
    "mate": "--wait",
    "mousepad": "--disable-server",
    "mvim": "--nofork",
    "neovide": "--no-fork",
    "nvim-qt": "--nofork",
    "open": "-W -n",
    "texteditor": "--standalone",
}
"""The option that makes an editor wait, if it is not `--wait` as for most."""
_NEVER_WAIT = frozenset({
    "exo-open", "gio", "gnome-open", "kde-open", "kde-open5", "mimeopen", "wslview", "xdg-open",
})  # fmt: skip
"""Programs that start another one for the file and cannot wait for it."""
_WRAPPERS = frozenset({
    "distrobox-host-exec", "doas", "env", "flatpak", "flatpak-spawn", "host-spawn", "nice",
    "nohup", "run", "setsid", "snap", "sudo", "time",
})  # fmt: skip
"""Programs that run the editor, and their commands."""
_SHORT_OPTIONS = {"--wait": "-w", "--nofork": "-f", "--block": "-b", "--new-instance": "-i"}
_MAX_COMMAND = 120
"""The number of characters of a command that a message repeats."""
_NO_WAIT_OPTIONS = ("-n", "--no-wait")
"""The options that keep emacsclient from waiting."""
_TERMINATE_TIMEOUT_S = 0.5
"""Seconds for an editor to save its files after SIGTERM."""

OnInterrupted = Callable[[str, Path | None], None]
"""Callback for an editor that was ended: the saved text, and the directory of its other files."""


class EditorError(Exception):
    """The prompt could not be edited; the message gives the reason and the remedy.

    `kept` is the file with the edited text, which the message names too.
    """

    def __init__(self, message: str, kept: Path | None = None) -> None:
        super().__init__(message)
        self.kept = kept


def editor_command(environment: Mapping[str, str]) -> list[str]:
    """Return the command in VISUAL, else in EDITOR, as arguments. Raises `EditorError`."""
    for name in _VARIABLES:
        value = environment.get(name, "")
        if shutil.which(value):  # also a path with spaces and without quotes
            return [value]
        try:
            words = shlex.split(value)
        except ValueError as error:
            raise EditorError(f"{name} cannot be parsed: {error}. Correct it.") from error
        if words:
            if words[0].startswith("~/"):
                with suppress(RuntimeError):  # there is no home directory
                    words[0] = str(Path(words[0]).expanduser())
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
            on_interrupted(_read_back(path, text, "replace"), leftovers)
            raise
        if code:
            reason = f"{Path(command[0]).name!r} {ending(code)}. The prompt is unchanged."
            if modified_time(path) == written:
                raise EditorError(reason)
            leftovers = directory
            raise EditorError(f"{reason} What you saved is in {path}", path)
        try:
            edited = await asyncio.to_thread(_read_back, path, text)
        except (OSError, UnicodeError) as error:
            leftovers = directory
            raise EditorError(
                "The text cannot be read, or is not in UTF-8. The prompt is unchanged. Let the "
                f"editor save UTF-8. What you saved is in {path}",
                path,
            ) from error
        is_unchanged = modified_time(path) == written
        if is_unchanged and (advice := wait_advice(command, monotonic() - begin)):
            leftovers = directory
            raise EditorError(f"{advice} What you save there now is in {path}", path)
        return edited
    finally:
        if leftovers is None:
            shutil.rmtree(directory, ignore_errors=True)


def wait_advice(command: Sequence[str], seconds: float) -> str:
    """Return the advice for an editor that ended after `seconds` without a change, or ''.

    Editors with windows often end at once, while their window is open.
    """
    program = _program(command)
    name = Path(program).name
    # `editor` is a link to one of them. Names may be vim.nox, and in Flatpak org.vim.Vim.
    target = Path(shutil.which(program) or program).resolve().name
    names = {name, target, target.partition(".")[0], name.rpartition(".")[2].lower()}
    if names & _TERMINAL_EDITORS:
        return ""
    is_known = names & (_WINDOW_EDITORS | _WAIT_OPTIONS.keys() | _NEVER_WAIT)
    if seconds > (_START_S if is_known else _AT_ONCE_S):
        return ""
    if names & _NEVER_WAIT:
        return (
            f"{name!r} does not wait for the editor that it opens. Set VISUAL to an editor that "
            'waits, for example VISUAL="nano".'
        )
    option = next((_WAIT_OPTIONS[each] for each in names & _WAIT_OPTIONS.keys()), "--wait")
    words = [word for word in command if name != "emacsclient" or word not in _NO_WAIT_OPTIONS]
    words += option.split()
    waits = option and (
        set(option.split()) <= set(command) or _SHORT_OPTIONS.get(option) in command
    )
    if waits or words == list(command):
        return ""
    line = f'VISUAL="{shlex.join(words)}".'
    if len(line) > _MAX_COMMAND:  # the path of the text comes after it, and must not be cut off
        line = f"add {option} to VISUAL."
    return f"{name!r} ended at once and changed nothing. If its window is open, let it wait: {line}"


def _program(command: Sequence[str]) -> str:
    """Return the editor in a command, which may begin with a wrapper like env or flatpak run."""
    words = list(command)
    while words and (
        Path(words[0]).name in _WRAPPERS
        or (len(words) < len(command) and (words[0].startswith("-") or "=" in words[0]))
    ):
        del words[0]
    return (words or command)[0]


def ending(code: int) -> str:
    """Return how a program with a code other than 0 ended, for a message."""
    return f"ended with {code}" if code > 0 else f"was ended by signal {-code}"


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


def _read_back(path: Path, text: str, errors: str = "strict") -> str:
    """Return the content of the file, or `text` if the editor removed the file.

    Raises `UnicodeError` if it is not text in UTF-8, or in UTF-16 with its mark, unless `errors`
    allows that; OSError if it cannot be read.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return text
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    content = data.decode("utf-16" if is_utf16 else "utf-8-sig", errors)
    content = content.replace("\r\n", "\n").replace("\r", "\n")
    # Editors add a final newline that the user did not type.
    return content if text.endswith("\n") else content.removesuffix("\n")
