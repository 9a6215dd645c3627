"""File systems with short names, coarse times, or directories on other volumes."""

import errno
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from koel_tui import paths
from koel_tui.cli.main import run
from koel_tui.engine.runner.output import RunnerOutput
from koel_tui.paths import private_directory
from koel_tui.storage import StorageError
from koel_tui.storage.files import thread_file, thread_folder
from koel_tui.system.atomic_write import find_temporaries, write_atomically
from koel_tui.system.new_file import write_exclusive
from tests.cli.commands import PROGRAM, koel, save
from tests.storage.helpers import FILE_STORES, in_clear, saying

ROOT = os.geteuid() == 0
TOO_LONG = "\u00e9" * 200


@pytest.mark.parametrize("letter", ["x", "\u00e9", "\U0001f600"])
def test_report_13_a_name_as_long_as_the_file_system_allows_can_be_written(
    tmp_path: Path, letter: str
) -> None:
    path = tmp_path / "folder" / (letter * (255 // len(letter.encode())))
    path.parent.mkdir()
    write_exclusive(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two" and [*path.parent.iterdir()] == [path]


def test_report_13_the_name_of_a_temporary_file_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The limit of eCryptfs is 143 bytes."""
    names: list[str] = []
    replace = Path.replace

    def record(path: Path, target: Path) -> Path:
        names.append(path.name)
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", record)
    for name in ("x" * 140, "\u00e9" * 70):
        write_atomically(tmp_path / name, b"")
    assert all(len(os.fsencode(name)) <= 143 for name in names) and len(names) == 2
    private = tmp_path / f".t-{'0' * 32}.json.{'0' * 16}.tmp"
    private.touch()
    assert find_temporaries(tmp_path) == [private]  # the temporary files of threads are found


@pytest.mark.parametrize(
    "words",
    [
        ("threads", "export", "sea", "--output", TOO_LONG),
        ("threads", "export", "sea", "--force", "--output", f"{TOO_LONG}/x.md"),
        ("threads", "import", TOO_LONG),
        ("threads", "import", "x" * 252),
        ("models", "probe", TOO_LONG),
        ("ask", "--model", TOO_LONG, "Hi"),
        ("ask", "--model", f"{TOO_LONG}.gguf", "Hi"),
        ("ask", "--model", f"./{TOO_LONG}.gguf", "Hi"),
    ],
)
def test_report_13_a_name_that_is_too_long_is_not_an_internal_error(words: tuple[str, ...]) -> None:
    save("sea", "Why?", "So.")
    done = koel(*words)
    assert done.returncode not in (0, 1), done.stderr
    assert "Traceback" not in done.stderr and "internal error" not in done.stderr


@pytest.mark.parametrize("number", [errno.EXDEV, errno.EPERM, errno.ENOSYS])
@pytest.mark.parametrize("kind", list(FILE_STORES))
async def test_report_13_a_trash_on_another_volume_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    store = FILE_STORES[kind](tmp_path / "threads")
    await store.save("t", saying("hi"))

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        if number == errno.EXDEV:
            patch.setattr(Path, "replace", _only_beside)
        else:
            patch.setattr(os, "utime", refuse)
        await store.trash("t")
        assert await store.load("t") is None
        assert [each.id for each in await store.trashed()] == ["t"]
        await store.restore("t")
    assert await store.load("t") == saying("hi") and not await store.trashed()


_replace = Path.replace


def _only_beside(path: Path, target: Path) -> Path:
    if path.parent != target.parent:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
    return _replace(path, target)


async def test_report_13_a_failed_move_to_the_trash_keeps_the_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = in_clear(tmp_path / "threads")
    await store.save("t", saying("hi"))

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _only_beside)
        patch.setattr("koel_tui.storage.files.trash.write_atomically", full)
        with pytest.raises(StorageError, match=os.strerror(errno.EDQUOT)):
            await store.trash("t")
    assert await store.load("t") == saying("hi") and not await store.trashed()


async def test_report_13_a_thread_that_cannot_be_removed_is_not_also_in_the_trash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = in_clear(tmp_path / "threads")
    await store.save("t", saying("hi"))
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.parent == store.directory:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        unlink(path, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", _only_beside)
        patch.setattr(Path, "unlink", refuse)
        with pytest.raises(StorageError, match=os.strerror(errno.EACCES)):
            await store.trash("t")
    assert await store.load("t") == saying("hi") and not await store.trashed()


@pytest.mark.slow
@pytest.mark.skipif(not ROOT or shutil.which("unshare") is None, reason="needs mounts")
def test_report_13_a_trash_on_a_mounted_volume_is_used() -> None:
    save("sea", "Why?", "So.")
    trash = private_directory(paths.threads_dir() / "trash")
    script = (
        'mount -t tmpfs -o mode=700 none "$1" && "$0" threads delete sea '
        '&& "$0" threads restore sea && "$0" threads show sea'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, PROGRAM, str(trash)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0 and "Why?" in done.stdout, done.stderr


async def test_report_13_a_change_is_seen_although_the_time_and_size_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FAT stores times to two seconds, and some network volumes have no inode numbers."""
    for module in (thread_folder, thread_file):
        monkeypatch.setattr(module, "file_signature", lambda _: (1, 0, 9, 7))
    store = in_clear(tmp_path)
    await store.save("t", saying("hi"))
    for title in ("One", "Two"):
        await store.update_meta("t", title=title)
        assert [each.title for each in await store.summaries()] == [title]


def test_report_13_an_export_to_a_directory_that_cannot_be_written_names_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    save("sea", "Why?", "So.")

    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr("koel_tui.system.new_file.write_exclusive", refuse)
    assert run(["threads", "export", "sea", "--output", str(tmp_path)]) == 74
    error = capsys.readouterr().err
    assert "Read-only file system" in error and "--output" in error


def test_report_13_an_engine_without_a_log_starts_and_names_its_failed_assertion(
    tmp_path: Path,
) -> None:
    (tmp_path / "file").touch()
    output = RunnerOutput(tmp_path / "file" / "koel-chat.log")
    try:
        subprocess.run(
            ["sh", "-c", "echo 'ggml.c:7: GGML_ASSERT(a == b) failed' >&2"],
            stderr=output.descriptor, check=True,
        )  # fmt: skip
        assert "a == b" in output.failed_assertion()
    finally:
        output.close()


@pytest.mark.slow
@pytest.mark.skipif(not ROOT or shutil.which("unshare") is None, reason="needs mounts")
def test_report_13_a_question_is_answered_in_a_read_only_home(
    private_home: Path, starter_path: Path
) -> None:
    script = (
        'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && '
        'exec "$0" ask --model "$2" --max-output-tokens 4 Hi'
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, PROGRAM, str(private_home), str(starter_path)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() and done.returncode == 0, done.stderr
    assert "Read-only" not in done.stderr and "Traceback" not in done.stderr
