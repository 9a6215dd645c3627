"""The check of the program's directories: owner, permissions and free space."""

import os
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path

from koel_tui import paths
from koel_tui.cli.doctor.findings import Finding, problem, warning
from koel_tui.cli.exit_codes import Exit
from koel_tui.cli.models.sizes import size_shown

_LITTLE, _NOTHING = 100_000_000, 1_000_000
_NETWORK = ("9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "smb", "webdav")
"""Prefixes of the types of network file systems, which other computers may write to."""
_NETWORK_FUSE = ("fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.davfs", "fuse.glusterfs")


@dataclass(frozen=True, slots=True)
class Place:
    """The state of a directory; `parent` is its nearest existing parent if it is absent."""

    name: str
    path: Path
    parent: Path
    is_there: bool
    is_directory: bool = True
    link: str = ""
    ours: bool = True
    mode: int = 0o700
    writable: bool = True
    free: int = 0
    file_system: str = ""


def places() -> dict[str, Path]:
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


def look(name: str, path: Path) -> Place:
    """Inspect a directory. Raises OSError if access is denied."""
    parent = path
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    link = str(path.readlink()) if path.is_symlink() else ""
    try:
        status = path.stat()
    except FileNotFoundError:
        status = None
    except NotADirectoryError:  # a parent is a file
        status = None
    there = status or parent.stat()
    return Place(
        name=name,
        path=path,
        parent=parent,
        is_there=status is not None or bool(link),
        is_directory=stat.S_ISDIR(there.st_mode) and not (link and status is None),
        link=link,
        ours=status is None or status.st_uid == os.getuid(),
        mode=stat.S_IMODE(there.st_mode),
        writable=os.access(parent, os.W_OK | os.X_OK),
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


def judge(place: Place) -> Finding:
    """Return the worst finding about a directory, with the remedy."""
    path, advice = str(place.path), f"Move away what is in the way: {place.parent}"
    if not place.is_directory:
        return problem(place.name, f"{path}: no directory", advice, Exit.NO_DIRECTORY)
    if not place.ours:
        advice = f'Give it back to you: sudo chown -R "$USER" "{path}"'
        return problem(place.name, f"{path}: belongs to another user", advice, Exit.NO_DIRECTORY)
    if not place.writable:
        where = path if place.is_there else f"{path}: cannot be made; {place.parent}"
        advice = "Let yourself write there, or choose another place with XDG_DATA_HOME and such."
        return problem(place.name, f"{where}: not writable", advice, Exit.NO_DIRECTORY)
    if place.free < _NOTHING:
        return problem(place.name, f"{path}: the disk is full", _ROOM, Exit.SAVE_FAILED)
    return _usable(place)


_ROOM = "Make room: answers cannot be saved without."


def _usable(place: Place) -> Finding:
    path = str(place.path)
    if not place.is_there:
        return Finding(place.name, f"{path}: not there yet, made when it is needed")
    found = f"{path}: mode {place.mode:04o}, {size_shown(place.free)} free"
    if place.mode & 0o022:
        advice = f'Others may write there: chmod 700 "{path}"'
        return problem(place.name, found, advice, Exit.NO_DIRECTORY)
    if place.mode & 0o055 and place.name != "configuration":
        return warning(place.name, found, f'Others may look inside: chmod 700 "{path}"')
    if place.free < _LITTLE:
        return warning(place.name, found, _ROOM)
    if _is_network(place.file_system):
        advice = "Locks may not hold there: use it from one computer at a time."
        return warning(place.name, f"{found}, over the network ({place.file_system})", advice)
    if place.link:
        return warning(place.name, f"{found}, a link to {place.link}", "Is it one of yours?")
    return Finding(place.name, found)


def _is_network(file_system: str) -> bool:
    name = file_system.lower()
    return name.startswith(_NETWORK) or name in _NETWORK_FUSE
