"""Where things live. Nothing else in the program asks platformdirs or builds these paths."""

import os
import tempfile
from pathlib import Path

import platformdirs

_APP = "koel-chat"


class DirectoryError(Exception):
    """A directory the program needs cannot be used; the message says which, why and what to do."""


def data_dir() -> Path:
    """Return the directory of threads and everything else that must not be lost."""
    return platformdirs.user_data_path(_APP, appauthor=False)


def threads_dir() -> Path:
    """Return the directory of the thread files."""
    return data_dir() / "threads"


def models_dir() -> Path:
    """Return the directory of the models that were downloaded."""
    return data_dir() / "models"


def config_file() -> Path:
    """Return the path of config.toml; it need not exist."""
    return platformdirs.user_config_path(_APP, appauthor=False) / "config.toml"


def roles_dir() -> Path:
    """Return the directory of the user's system prompts; it need not exist."""
    return config_file().parent / "roles"


def themes_dir() -> Path:
    """Return the directory of the user's own themes; it need not exist."""
    return config_file().with_name("themes")


def state_dir() -> Path:
    """Return the directory of what the window remembers: its tabs, drafts and history."""
    return platformdirs.user_state_path(_APP, appauthor=False)


def cache_dir() -> Path:
    """Return the directory of what can be made again: indexes and snapshots."""
    return platformdirs.user_cache_path(_APP, appauthor=False)


def recovery_dirs() -> tuple[Path, ...]:
    """Return where text goes that cannot be saved in its place, the best first.

    The last may be emptied when the computer starts, but is on another disk more often than not.
    """
    shared = Path(tempfile.gettempdir()) / f"{_APP}-recovery-{os.getuid()}"
    return (state_dir() / "recovery", data_dir() / "recovery", shared)


def log_file() -> Path:
    """Return the path of the log that the program and llama.cpp write to."""
    return platformdirs.user_log_path(_APP, appauthor=False) / "koel-chat.log"


def private_directory(path: Path) -> Path:
    """Make `path` a directory only its owner can enter, and return it.

    Raises `DirectoryError` when it cannot be made or belongs to somebody else.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = path.stat()
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            raise DirectoryError(
                f"{path} belongs to another user. Give it back to you, or choose another place."
            )
        if status.st_mode & 0o077:
            path.chmod(0o700)
    except OSError as error:
        raise DirectoryError(
            f"Cannot use {path}: {error.strerror or error}. Check the path and its permissions."
        ) from error
    return path
