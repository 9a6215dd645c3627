"""The check of the program's directories: owner, permissions and free space."""

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from koel_tui import paths
from koel_tui.cli.doctor.findings import Finding, problem, warning
from koel_tui.cli.exit_codes import Exit
from koel_tui.formatting import format_bytes

_LOW_SPACE, _NO_SPACE = 100_000_000, 1_000_000
"""Free bytes below which there is a warning, and a problem."""
_FREE_SPACE = "Free some disk space: without it, answers cannot be saved."
_OTHER_DISK_ADVICE = (
    "If that changes nothing, choose a directory on another disk with XDG_DATA_HOME."
)
_NETWORK_PREFIXES = ("9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "smb", "webdav")
"""Prefixes of the types of network file systems, which other computers may write to."""
_NETWORK_FUSE_TYPES = ("fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.davfs", "fuse.glusterfs")


@dataclass(frozen=True, slots=True)
class DirectoryState:
    """The state of a directory; `parent` is its nearest existing parent, or itself if it exists."""

    name: str
    path: Path
    parent: Path
    exists: bool
    is_directory: bool = True
    link: str = ""
    is_ours: bool = True
    mode: int = 0o700
    is_writable: bool = True
    free: int = 0
    file_system: str = ""


def program_directories() -> dict[str, Path]:
    """Return the directories, keyed by their names in the report."""
    return {
        "data": paths.data_dir(),
        "threads": paths.threads_dir(),
        "models": paths.models_dir(),
        "configuration": paths.config_file().parent,
        "cache": paths.cache_dir(),
        "state": paths.state_dir(),
        "log": paths.log_file().parent,
    }


def inspect(name: str, path: Path) -> DirectoryState:
    """Inspect a directory. Raises OSError if access is denied."""
    parent = path
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    link = str(path.readlink()) if path.is_symlink() else ""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):  # absent, or a parent is a file
        status = None
    inspected = status or parent.stat()
    return DirectoryState(
        name=name,
        path=path,
        parent=parent,
        exists=status is not None or bool(link),
        is_directory=stat.S_ISDIR(inspected.st_mode) and not (link and status is None),
        link=link,
        is_ours=status is None or status.st_uid == os.getuid(),
        mode=stat.S_IMODE(inspected.st_mode),
        is_writable=os.access(parent, os.W_OK | os.X_OK),
        free=shutil.disk_usage(parent).free,
        file_system=_file_system(parent),
    )


def _file_system(path: Path) -> str:
    """Return the type of the file system of a path, or '' if unknown."""
    import psutil

    real = path.resolve()
    mounts = {each.mountpoint: each.fstype for each in psutil.disk_partitions(all=True)}
    above = (str(each) for each in (real, *real.parents))
    return next((mounts[each] for each in above if each in mounts), "")


def evaluate(directory: DirectoryState) -> Finding:
    """Return the worst finding about a directory, with the remedy."""
    path = str(directory.path)
    if not directory.is_directory:
        advice = f"Move the file that is in the way: {directory.parent}"
        return problem(directory.name, f"{path}: not a directory", advice, Exit.NO_DIRECTORY)
    if not directory.is_ours:
        advice = f'Change its owner: sudo chown -R "$USER" "{path}"'
        return problem(
            directory.name, f"{path}: belongs to another user", advice, Exit.NO_DIRECTORY
        )
    if not directory.is_writable:
        where = path if directory.exists else f"{path}: cannot be created; {directory.parent}"
        advice = "Make it writable, or choose another directory with XDG_DATA_HOME."
        return problem(directory.name, f"{where}: not writable", advice, Exit.NO_DIRECTORY)
    if directory.free < _NO_SPACE:
        return problem(directory.name, f"{path}: the disk is full", _FREE_SPACE, Exit.SAVE_FAILED)
    return _evaluate_usable(directory)


def _evaluate_usable(directory: DirectoryState) -> Finding:
    path = str(directory.path)
    if not directory.exists:
        return Finding(directory.name, f"{path}: not there yet; it is created when it is needed")
    found = f"{path}: mode {directory.mode:04o}, {format_bytes(directory.free)} free"
    if directory.mode & 0o022:
        advice = f'Other users can write there: chmod 700 "{path}". {_OTHER_DISK_ADVICE}'
        return problem(directory.name, found, advice, Exit.NO_DIRECTORY)
    if directory.mode & 0o055 and directory.name != "configuration":
        advice = f'Other users can read it: chmod 700 "{path}". {_OTHER_DISK_ADVICE}'
        return warning(directory.name, found, advice)
    if directory.free < _LOW_SPACE:
        return warning(directory.name, found, _FREE_SPACE)
    if _is_network_file_system(directory.file_system):
        advice = "File locks may not work there. Use it from one computer at a time."
        return warning(
            directory.name, f"{found}, over the network ({directory.file_system})", advice
        )
    if directory.link:
        return warning(
            directory.name, f"{found}, a link to {directory.link}", "Check that you made this link."
        )
    return Finding(directory.name, found)


def _is_network_file_system(file_system: str) -> bool:
    name = file_system.lower()
    return name.startswith(_NETWORK_PREFIXES) or name in _NETWORK_FUSE_TYPES
