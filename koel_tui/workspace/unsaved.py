"""Current save problems: the affected threads, the cause, and advice for the user."""

import errno
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from koel_tui.conversation.conversation import MAX_TITLE
from koel_tui.first_words import first_words
from koel_tui.formatting import cut_at_word
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from koel_tui.conversation.backend import Backend
    from koel_tui.session import ChatSession
    from koel_tui.workspace.window_state import WindowState
    from koel_tui.workspace.workspace import Workspace

_MAX_NAMED = 2
_ADVICE = {
    errno.ENOSPC: "Free some space",
    errno.EDQUOT: "Free some space",
    errno.EFBIG: "Allow larger files",
    errno.EACCES: "Make it writable",
    errno.EPERM: "Make it writable",
    errno.EROFS: "Make it writable",
    errno.ENOENT: "Create it again",
    errno.ENOTDIR: "Restore the directory",
    errno.EEXIST: "Restore the directory",
    errno.ESTALE: "Mount the volume again",
    errno.ENOTCONN: "Mount the volume again",
}


@dataclass(frozen=True, slots=True)
class SaveErrorText:
    """The cause of a failed save and advice for the user, as sentences."""

    reason: str
    advice: str = ""


@dataclass(frozen=True, slots=True)
class SaveProblem:
    """A current save problem; empty if everything is saved."""

    summary: str = ""
    reason: str = ""
    advice: str = ""


def current_problem(
    backend: "Backend | None", workspace: "Workspace", window_state: "WindowState"
) -> SaveProblem:
    """Return the current save problem."""
    dirty: Iterable[ChatSession] = () if backend is None else _dirty_sessions(backend)
    failing = [session for session in dirty if session.save_error is not None]
    if failing:
        cause = explain_error(failing[0].save_error, backend)
        names = [repr(safe_line(thread_title(session, workspace), 20)) for session in failing]
        more = f" and {len(names) - _MAX_NAMED} more" if len(names) > _MAX_NAMED else ""
        summary = f"NOT SAVED: {', '.join(names[:_MAX_NAMED])}{more}"
    elif window_state.problem:
        cause = SaveErrorText(window_state.problem)
        summary = "NOT SAVED: drafts and open tabs"
        if not window_state.is_open:
            return SaveProblem(summary, cause.reason, "They are saved from the next start on.")
    else:
        return SaveProblem()
    again = "it is tried again every few seconds"
    advice = f"{cause.advice}: {again}." if cause.advice else f"{again.capitalize()}."
    return SaveProblem(summary, cause.reason, advice)


def explain_error(error: BaseException | None, backend: "Backend | None") -> SaveErrorText:
    """Return the cause and advice for the error of a failed save."""
    if error is None:
        return SaveErrorText("")
    system = _find_os_error(error)
    directory = getattr(backend.storage, "directory", None) if backend is not None else None
    if system is None or system.errno is None or directory is None:
        return SaveErrorText(str(error) or type(error).__name__)
    reason = f"{system.strerror or type(system).__name__}: {shorten_path(directory)}."
    return SaveErrorText(reason, _ADVICE.get(system.errno, "Check the disk"))


def unsaved_sessions(backend: "Backend | None") -> "tuple[ChatSession, ...]":
    """Return the disposed sessions with unsaved changes, whose save failed or is still running."""
    if backend is None:
        return ()
    still_closing = (session for session in backend.client.closing if session.dirty)
    return (*backend.client.unsaved, *still_closing)


def thread_title(session: "ChatSession", workspace: "Workspace") -> str:
    """Return the title of a session's thread."""
    tab = next((each for each in workspace.tabs if each.thread_id == session.thread_id), None)
    if tab is not None:
        return tab.title
    prompts = (each.content for each in session.state.messages if each.role == "user")
    title = workspace.meta(session.thread_id).title
    return title or cut_at_word(safe_line(first_words(next(prompts, ""))), MAX_TITLE)


def shorten_path(path: Path) -> str:
    """Return a path as text, with the home directory as `~`."""
    try:
        return f"~/{path.relative_to(Path.home())}"
    except (ValueError, RuntimeError):  # outside the home directory, or its location is unknown
        return str(path)


def _dirty_sessions(backend: "Backend") -> "Iterator[ChatSession]":
    client = backend.client
    return (session for session in (*client.sessions, *client.unsaved) if session.dirty)


def _find_os_error(error: BaseException | None) -> OSError | None:
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__
    return error
