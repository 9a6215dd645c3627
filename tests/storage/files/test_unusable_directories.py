"""Directories that are unusable, shared with other users, or symbolic links."""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from koel_tui import paths
from koel_tui.cli.wiring import threads_directory
from koel_tui.paths import DirectoryError, private_directory
from koel_tui.storage import StorageError
from koel_tui.storage.search.thread_index import ThreadIndex
from tests.e2e.terminal import PROGRAM
from tests.hostile_summary import Tally
from tests.storage.helpers import in_clear, saying

ROOT = os.geteuid() == 0
NOBODY = 65534
# Root ignores file permissions unless it drops these capabilities.
_MORTAL = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if ROOT else ()
_READ_ONLY = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def listed(*before: str) -> subprocess.CompletedProcess[str]:
    """Run a command that needs the directory of the threads."""
    command = [*before, PROGRAM, "threads", "list"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def refused(done: subprocess.CompletedProcess[str], path: Path) -> str:
    """Check that a run ended with 73 and a one-line message that contains the path; return it."""
    assert done.returncode == 73, done.stderr
    assert str(path) in done.stderr and done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr
    return done.stderr


def test_a_directory_without_write_permission_exits_with_73(
    private_home: Path, tally: Tally
) -> None:
    if ROOT and shutil.which("setpriv") is None:
        pytest.skip("root may write anywhere, and cannot give that up here")
    data = private_home / "data"
    data.mkdir(mode=0o500)
    message = refused(listed(*_MORTAL), paths.data_dir())
    assert "Permission denied" in message and "set XDG_DATA_HOME to another" in message
    assert list(data.iterdir()) == []
    tally("unusable directory", tried=1)


@pytest.mark.skipif(not ROOT, reason="only root may mount a disk read-only")
def test_a_read_only_disk_exits_with_73(private_home: Path, tally: Tally) -> None:
    data = private_home / "data"
    data.mkdir()
    done = listed("unshare", "-m", "sh", "-c", _READ_ONLY, str(data))
    message = refused(done, paths.data_dir())
    assert "Read-only file system" in message and "set XDG_DATA_HOME to another" in message
    tally("unusable directory", tried=1)


@pytest.mark.parametrize("place", ["data", "data/koel-chat", "data/koel-chat/threads"])
def test_a_file_in_place_of_a_directory_exits_with_73(
    private_home: Path, place: str, tally: Tally
) -> None:
    path = private_home / place
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.parent.chmod(0o700)
    path.write_text("precious")
    assert "is not a directory" in refused(listed(), path)
    assert path.read_text() == "precious"
    tally("unusable directory", tried=1)


def test_without_a_home_nothing_is_created_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tally: Tally
) -> None:
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(DirectoryError, match="Set HOME"):
        private_directory(Path("~/.local/share/koel-chat"))
    assert sorted(tmp_path.iterdir()) == before
    tally("unusable directory", tried=1)


async def test_a_directory_removed_while_threads_are_open_is_created_again(
    tmp_path: Path, tally: Tally
) -> None:
    folder = tmp_path / "threads"
    storage = in_clear(folder)
    await storage.open("t")
    await storage.save("t", saying("hi"))
    shutil.rmtree(folder)
    folder.write_text("in its place")
    with pytest.raises((StorageError, DirectoryError)):
        await storage.save("t", saying("hi", "hello"))
    assert folder.read_text() == "in its place"
    folder.unlink()
    await storage.save("t", saying("hi", "hello"))
    assert await in_clear(folder).load("t") == saying("hi", "hello")
    tally("unusable directory", tried=2)


def test_created_directories_are_private(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        private_directory(tmp_path / "a" / "b" / "c")
    finally:
        os.umask(before)
    for name in ("a", "a/b", "a/b/c"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o700


def of_somebody_else(path: Path) -> None:
    path.mkdir(mode=0o700)
    os.chown(path, NOBODY, NOBODY)


def of_a_strange_group(path: Path) -> None:
    path.mkdir()
    os.chown(path, -1, NOBODY)
    path.chmod(0o770)


def a_link_of_somebody_else(path: Path) -> None:
    target = path.with_name("target")
    target.mkdir(mode=0o755)
    path.symlink_to(target)
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def for_everybody(path: Path) -> None:
    path.mkdir()
    path.chmod(0o777)


@pytest.mark.parametrize(
    "make", [for_everybody, of_somebody_else, of_a_strange_group, a_link_of_somebody_else]
)
@pytest.mark.parametrize("name", ["koel-chat", "koel-chat/threads"])
def test_a_directory_that_other_users_can_change_exits_with_73(
    private_home: Path, name: str, make: Callable[[Path], None], tally: Tally
) -> None:
    if make is not for_everybody and not ROOT:
        pytest.skip("only root may give files away")
    path = private_home / "data" / name
    path.parent.mkdir(parents=True, mode=0o700)
    path.parent.chmod(0o700)
    make(path)
    mode = path.stat().st_mode
    said = refused(listed(), path)
    assert "chmod 700" in said or "another user" in said or "link of another user" in said
    assert path.stat().st_mode == mode and list(path.iterdir()) == []
    tally("foreign files", tried=1)


async def test_a_link_of_the_user_to_another_disk_is_followed(tmp_path: Path, tally: Tally) -> None:
    target, link = tmp_path / "disk", tmp_path / "threads"
    target.mkdir(mode=0o755)
    link.symlink_to(target)
    await in_clear(link).save("t", saying("hi"))
    assert await in_clear(target).load("t") == saying("hi")
    assert target.stat().st_mode & 0o777 == 0o700
    tally("foreign files", tried=1)


# File systems without owners and permissions


def without_permissions(
    monkeypatch: pytest.MonkeyPatch, mode: int, number: int | None = None, owner: int | None = None
) -> None:
    """Give every new directory `mode` and `owner`, and make chmod ineffective.

    chmod succeeds if `number` is None, as on CIFS; otherwise it fails with that error number, as
    on vfat.
    """
    real_mkdir, real_chmod = os.mkdir, os.chmod

    def mkdir(path: str | Path, _mode: int = 0o777, **named: int) -> None:
        real_mkdir(path, **named)
        real_chmod(path, mode)
        if owner is not None:
            os.chown(path, owner, owner)

    def chmod(*_: object, **__: object) -> None:
        if number is not None:
            raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(os, "chmod", chmod)
    monkeypatch.setattr(os, "fchmod", chmod)


NO_CHMOD = (None, errno.EPERM, errno.ENOTSUP)


@pytest.mark.parametrize("number", NO_CHMOD)
async def test_report_32_a_directory_that_others_can_only_read_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int | None
) -> None:
    without_permissions(monkeypatch, 0o755, number)
    storage = in_clear(tmp_path / "data" / "threads")
    await storage.save("t", saying("an owl"))
    assert await storage.load("t") == saying("an owl")
    assert len(await ThreadIndex(storage, tmp_path / "cache").search("owl")) == 1


@pytest.mark.parametrize("number", NO_CHMOD)
@pytest.mark.parametrize("name", ["data", "config", "state", "cache"])
def test_report_32_a_directory_that_others_can_write_names_another_place(
    private_home: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int | None
) -> None:
    without_permissions(monkeypatch, 0o777, number)
    path = private_home / name / "koel-chat" / "threads"
    with pytest.raises(DirectoryError) as caught:
        private_directory(path)
    assert f"XDG_{name.upper()}_HOME" in str(caught.value)
    assert "chmod" not in str(caught.value)
    assert list(path.iterdir()) == []


@pytest.mark.skipif(not ROOT, reason="only root may give files away")
def test_report_32_the_error_on_a_file_system_without_owners_names_another_directory(
    private_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_permissions(monkeypatch, 0o755, errno.EPERM, owner=NOBODY)
    with pytest.raises(DirectoryError, match=r"keeps no owners .* Set XDG_DATA_HOME"):
        private_directory(private_home / "data" / "koel-chat")


def test_report_32_other_errors_of_chmod_are_not_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_permissions(monkeypatch, 0o755, errno.EROFS)
    with pytest.raises(DirectoryError, match="Read-only file system"):
        private_directory(tmp_path / "threads")


def test_report_32_readable_threads_are_reported_once(
    private_home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_permissions(monkeypatch, 0o755)
    assert threads_directory() == threads_directory() == paths.threads_dir()
    said = capsys.readouterr().err
    assert said.count("other users may read your threads") == 1 and "XDG_DATA_HOME" in said


@pytest.mark.skipif(not ROOT or shutil.which("bindfs") is None, reason="needs bindfs and root")
@pytest.mark.parametrize("option", ["--chmod-ignore", "--chmod-deny"])
@pytest.mark.parametrize(("mode", "code"), [("0755", 0), ("0777", 73)])
def test_report_32_a_real_file_system_without_permissions_is_reported(
    private_home: Path, option: str, mode: str, code: int
) -> None:
    source, data = private_home / "source", private_home / "data"
    source.mkdir()
    data.mkdir()
    subprocess.run(["bindfs", f"--perms={mode}", option, source, data], check=True)
    try:
        done = listed()
        assert done.returncode == code, done.stderr
        assert "XDG_DATA_HOME" in done.stderr and "chmod" not in done.stderr
    finally:
        subprocess.run(["umount", data], check=True)
