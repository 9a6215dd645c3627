"""Where things live. Nothing else in the program asks platformdirs or builds these paths."""

import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import platformdirs

_APP = "koel-chat"
_NO_HOME = (
    "There is no home directory. Set HOME to one, or set XDG_DATA_HOME, XDG_CONFIG_HOME, "
    "XDG_STATE_HOME and XDG_CACHE_HOME."
)


class DirectoryError(Exception):
    """A directory the program needs cannot be used; the message says which, why and what to do."""


def data_dir() -> Path:
    """Return the directory of threads and everything else that must not be lost."""
    return _place(platformdirs.user_data_path)


def threads_dir() -> Path:
    """Return the directory of the thread files."""
    return data_dir() / "threads"


def models_dir() -> Path:
    """Return the directory of the models that were downloaded."""
    return data_dir() / "models"


def config_file() -> Path:
    """Return the path of config.toml; it need not exist."""
    return _place(platformdirs.user_config_path) / "config.toml"


def roles_dir() -> Path:
    """Return the directory of the user's system prompts; it need not exist."""
    return config_file().parent / "roles"


def themes_dir() -> Path:
    """Return the directory of the user's own themes; it need not exist."""
    return config_file().with_name("themes")


def state_dir() -> Path:
    """Return the directory of what the window remembers: its tabs, drafts and history."""
    return _place(platformdirs.user_state_path)


def cache_dir() -> Path:
    """Return the directory of what can be made again: indexes and snapshots."""
    return _place(platformdirs.user_cache_path)


def recovery_dirs() -> tuple[Path, ...]:
    """Return where text goes that cannot be saved in its place, the best first.

    The last may be emptied when the computer starts, but is on another disk more often than not.
    """
    shared = Path(tempfile.gettempdir()) / f"{_APP}-recovery-{os.getuid()}"
    return (state_dir() / "recovery", data_dir() / "recovery", shared)


def log_file() -> Path:
    """Return the path of the log that the program and llama.cpp write to."""
    return _place(platformdirs.user_log_path) / "koel-chat.log"


def private_directory(path: Path) -> Path:
    """Make `path` a directory only its owner can enter, and return it.

    Raises `DirectoryError` when it cannot be made, belongs to somebody else, or is one in which
    others may have left anything.
    """
    if path.parts[:1] == ("~",):  # an older release of platformdirs without a home directory
        raise DirectoryError(_NO_HOME)
    try:
        _make(path)
        _check_owners(path)
        if path.stat().st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        why = error.strerror or error
        if isinstance(error, FileExistsError | NotADirectoryError):
            why = f"{error.filename or path} is no directory"
        raise DirectoryError(
            f"Cannot use {path}: {why}. Check the path and its permissions."
        ) from error
    return path


def _place(path_of: Callable[..., Path]) -> Path:
    """Return one of the directories of the platform. Raises `DirectoryError` without a home."""
    try:
        return path_of(_APP, appauthor=False)
    except RuntimeError as error:
        raise DirectoryError(_NO_HOME) from error


def _make(path: Path) -> None:
    """Make a directory and those above it that are missing, none of them for others."""
    missing = [path]
    while not missing[-1].parent.exists() and missing[-1].parent != missing[-1]:
        missing.append(missing[-1].parent)
    for each in reversed(missing):
        each.mkdir(mode=0o700, exist_ok=True)


def _check_owners(path: Path) -> None:
    if not hasattr(os, "getuid"):
        return
    link, status = path.lstat(), path.stat()
    if stat.S_ISLNK(link.st_mode) and link.st_uid not in (os.getuid(), 0):
        raise DirectoryError(
            f"{path} is a link that somebody else made. Remove it, or choose another place."
        )
    if status.st_uid != os.getuid():
        raise DirectoryError(
            f"{path} belongs to another user. Give it back to you, or choose another place."
        )
    # A group of one's own is how many systems let every directory be made.
    foreign_group = status.st_mode & stat.S_IWGRP and status.st_gid != os.getgid()
    if status.st_mode & stat.S_IWOTH or foreign_group:
        raise DirectoryError(
            f"Others can write in {path}, and may have left anything there. Look at what is in it, "
            f"then close it to them: chmod 700 {path}"
        )
