"""The program's directories and files. No other module calls platformdirs or builds these paths."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import platformdirs

_APP = "koel-chat"
_NO_HOME = (
    "There is no home directory. Set HOME to one, or set XDG_DATA_HOME, XDG_CONFIG_HOME, "
    "XDG_STATE_HOME and XDG_CACHE_HOME."
)

_CHMOD_UNSUPPORTED = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors that chmod raises on a file system without permissions, even for the owner."""


class DirectoryError(Exception):
    """A directory cannot be used; the message gives its path, the reason and the remedy."""


def data_dir() -> Path:
    """Return the directory of threads and other data that must not be lost."""
    return _platform_dir(platformdirs.user_data_path)


def threads_dir() -> Path:
    """Return the directory of the thread files."""
    return data_dir() / "threads"


def models_dir() -> Path:
    """Return the directory of downloaded models."""
    return data_dir() / "models"


def config_file() -> Path:
    """Return the path of config.toml, which may not exist."""
    return _platform_dir(platformdirs.user_config_path) / "config.toml"


def system_prompts_dir() -> Path:
    """Return the directory of the user's system prompts, which may not exist."""
    return config_file().parent / "roles"


def themes_dir() -> Path:
    """Return the directory of the user's own themes, which may not exist."""
    return config_file().with_name("themes")


def state_dir() -> Path:
    """Return the directory of the app's state: tabs, drafts and prompt history."""
    return _platform_dir(platformdirs.user_state_path)


def cache_dir() -> Path:
    """Return the directory of data that can be rebuilt: indexes and KV snapshots."""
    return _platform_dir(platformdirs.user_cache_path)


def recovery_dirs() -> tuple[Path, ...]:
    """Return the directories for text that cannot be saved in its own file, best first.

    The last one may be emptied at boot, but it is usually on another disk.
    """
    shared = Path(tempfile.gettempdir()) / f"{_APP}-recovery-{os.getuid()}"
    return (state_dir() / "recovery", data_dir() / "recovery", shared)


def log_file() -> Path:
    """Return the path of the log of the program and of llama.cpp."""
    return _platform_dir(platformdirs.user_log_path) / "koel-chat.log"


def private_directory(path: Path) -> Path:
    """Create or restrict a directory so that only its owner has access, and return it.

    On a file system without permissions, other users may be able to read it. Raises
    `DirectoryError` if it cannot be created, belongs to another user, or is writable by others,
    who may have left files in it.
    """
    if path.parts[:1] == ("~",):  # older platformdirs return this without a home directory
        raise DirectoryError(_NO_HOME)
    try:
        _create_directories(path)
        _check_owners(path)
        if path.stat().st_mode & 0o077:
            _restrict(path)
    except OSError as error:
        reason = error.strerror or error
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = f"{error.filename or path} is not a directory"
        raise DirectoryError(
            f"Cannot use {path}: {reason}. Check the path and its permissions{_elsewhere(path)}."
        ) from error
    return path


def _platform_dir(path_of: Callable[..., Path]) -> Path:
    """Return a platform directory. Raises `DirectoryError` without a home directory."""
    try:
        return path_of(_APP, appauthor=False)
    except RuntimeError as error:
        raise DirectoryError(_NO_HOME) from error


def _create_directories(path: Path) -> None:
    """Create a directory and its missing parents, all accessible to their owner only."""
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
            f"{path} is a link of another user. Remove it, or choose another directory."
        )
    # Many systems create directories writable by the user's own private group; that is safe.
    foreign_group = status.st_mode & stat.S_IWGRP and status.st_gid != os.getgid()
    is_writable = status.st_mode & stat.S_IWOTH or foreign_group
    if (is_writable or status.st_uid != os.getuid()) and not keeps_permissions(path):
        raise DirectoryError(
            f"The file system of {path} keeps no owners and permissions, so other users can change "
            f"your files. Set {_variable(path)} to a directory on another disk."
        )
    if status.st_uid != os.getuid():
        raise DirectoryError(
            f"{path} belongs to another user. Change its owner, or choose another directory."
        )
    if is_writable:
        raise DirectoryError(
            f"Other users can write to {path}, so its files may not be yours. Check them, then "
            f"run: chmod 700 {path}"
        )


def keeps_permissions(path: Path) -> bool:
    """Return whether a directory's file system keeps owner and mode; True if it is not known.

    exFAT, network volumes, and the disks of Windows in WSL may report the same owner and
    mode for every file.
    """
    try:
        probe = Path(tempfile.mkdtemp(prefix=f".{_APP}-", dir=path))
    except OSError:
        return True
    try:
        status = probe.stat()
        return status.st_uid == os.getuid() and not status.st_mode & 0o077
    except OSError:
        return True
    finally:
        with suppress(OSError):
            probe.rmdir()


def _restrict(path: Path) -> None:
    try:
        path.chmod(0o700)
    except OSError as error:
        if error.errno not in _CHMOD_UNSUPPORTED:
            raise
        # The file system has no permissions. Others can read the directory, so `doctor` warns; they
        # cannot write to it, which `_check_owners` has refused.


def _elsewhere(path: Path) -> str:
    """Return the advice to move a directory of the program; empty for any other directory."""
    with suppress(DirectoryError):
        places = (data_dir(), config_file().parent, state_dir(), cache_dir())
        if any(path.is_relative_to(place) for place in places):
            return f", or set {_variable(path)} to another directory"
    return ""


def _variable(path: Path) -> str:
    """Return the variable that moves the directory of `path`."""
    places = (
        ("XDG_CONFIG_HOME", config_file().parent),
        ("XDG_STATE_HOME", state_dir()),
        ("XDG_CACHE_HOME", cache_dir()),
    )
    inside = (name for name, place in places if path.is_relative_to(place))
    return next(inside, "XDG_DATA_HOME")
