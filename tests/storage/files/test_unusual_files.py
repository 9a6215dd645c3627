"""Files with a foreign status or content: the other threads are still listed."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from koel_tui.paths import private_directory
from koel_tui.protocol import ChatState
from koel_tui.storage import JsonFileStorage, StorageError
from koel_tui.storage.files.file_codec import UnencryptedCodec
from koel_tui.storage.integrity_check import scan_threads
from koel_tui.storage.search.thread_index import ThreadIndex
from tests.storage.helpers import file_name, saying

YEAR_14645 = 400_000_000_000
TIMES = [YEAR_14645, -YEAR_14645, 2**62 // 10**9, -(2**40), 253_402_300_799, -62_135_596_800, -1]


class _Times:
    """Replaces the reported modification time of a file, also by times that no disk can store."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, name: str, seconds: int) -> None:
        real_scan, real_fstat, real_lstat = os.scandir, os.fstat, os.lstat
        inode = -1

        def changed(status: os.stat_result) -> os.stat_result:
            if status.st_ino != inode:
                return status
            return _Status(status, seconds)  # type: ignore[return-value] # not a real stat_result

        class Entry:
            def __init__(self, entry: os.DirEntry[str]) -> None:
                self._entry = entry
                self.name, self.path = entry.name, entry.path

            def is_file(self, *, follow_symlinks: bool = True) -> bool:
                return self._entry.is_file(follow_symlinks=follow_symlinks)

            def stat(self, *, follow_symlinks: bool = True) -> os.stat_result:
                return changed(self._entry.stat(follow_symlinks=follow_symlinks))

        class Entries:
            def __init__(self, path: Any) -> None:
                self._entries = real_scan(path)

            def __enter__(self) -> Iterator[Entry]:
                return (Entry(entry) for entry in self._entries)

            def __exit__(self, *_: object) -> None:
                self._entries.close()

        inode = real_lstat(name).st_ino
        monkeypatch.setattr(os, "scandir", Entries)
        monkeypatch.setattr(os, "fstat", lambda descriptor: changed(real_fstat(descriptor)))


class _Status:
    def __init__(self, status: os.stat_result, seconds: int) -> None:
        self._status = status
        self.st_mtime = float(seconds)
        self.st_mtime_ns = seconds * 10**9

    def __getattr__(self, name: str) -> Any:
        return getattr(self._status, name)


@pytest.fixture
async def directory(tmp_path: Path) -> Path:
    """Return a directory of two threads; the file of "odd" has no times."""
    folder = tmp_path / "threads"
    storage = JsonFileStorage(folder)
    await storage.save("odd", saying("strange thing"))
    await storage.save("t", saying("ordinary thing"))
    path = folder / file_name("odd")
    wire = json.loads(path.read_bytes())
    wire["meta"] = {}
    path.write_text(json.dumps(wire))
    return folder


@pytest.mark.parametrize("seconds", TIMES)
async def test_b24_a_file_of_any_time_is_listed_searched_and_checked(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seconds: int
) -> None:
    _Times(monkeypatch, str(directory / file_name("odd")), seconds)
    storage = JsonFileStorage(directory)
    summaries = await storage.summaries()
    assert {summary.id for summary in summaries} == {"odd", "t"}
    for summary in summaries:
        assert summary.updated.astimezone().strftime("%Y")
    index = ThreadIndex(storage, tmp_path / "cache")
    hits = await index.search("thing")
    assert {hit.thread_id for hit in hits} == {"odd", "t"}
    await index.close()
    assert len(scan_threads(directory, UnencryptedCodec(directory)).intact) == 2
    await storage.trash("odd")
    assert [summary.id for summary in await storage.trashed()] == ["odd"]


@pytest.mark.parametrize("stamp", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "soon", 5])
async def test_b24_a_time_in_a_file_that_no_zone_has_is_not_shown(
    directory: Path, stamp: object
) -> None:
    path = directory / file_name("odd")
    wire = json.loads(path.read_bytes())
    wire["meta"] = {"created": stamp, "updated": stamp}
    path.write_text(json.dumps(wire))
    for summary in await JsonFileStorage(directory).summaries():
        assert summary.updated.astimezone()
        assert summary.created.astimezone()


async def test_b24_a_file_whose_status_cannot_be_read_is_reported_and_the_others_listed(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.scandir

    class Broken:
        def __init__(self, entry: os.DirEntry[str]) -> None:
            self.name, self.path = entry.name, entry.path

        def is_file(self, *, follow_symlinks: bool = True) -> bool:
            raise OSError(5, "Input/output error")

    class Entries:
        def __init__(self, path: Any) -> None:
            self._entries = real(path)

        def __enter__(self) -> Iterator[Any]:
            return (
                Broken(entry) if entry.name == file_name("odd") else entry
                for entry in self._entries
            )

        def __exit__(self, *_: object) -> None:
            self._entries.close()

    monkeypatch.setattr(os, "scandir", Entries)
    storage = JsonFileStorage(directory)
    assert [summary.id for summary in await storage.summaries()] == ["t"]
    (damaged,) = storage.damaged
    assert damaged.path.name == file_name("odd")
    assert "Input/output error" in damaged.reason


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
async def test_b21_a_thread_of_0_1_with_a_number_that_is_not_valid_json_is_read_and_saved(
    directory: Path, number: str
) -> None:
    path = directory / file_name("odd")
    text = path.read_text()
    assert '"state": {}' in text
    path.write_text(text.replace('"state": {}', f'"state": {{"x": {number}, "y": 1.5}}'))
    storage = JsonFileStorage(directory)
    state = await storage.load("odd")
    assert state is not None
    assert state.state == {"x": None, "y": 1.5}
    await storage.save("odd", state)
    assert "NaN" not in path.read_text()
    assert "Infinity" not in path.read_text()


async def test_b21_a_setting_that_is_not_valid_json_is_refused_and_the_file_is_unchanged(
    tmp_path: Path,
) -> None:
    storage = JsonFileStorage(tmp_path)
    await storage.save("t", ChatState())
    before = (private_directory(tmp_path) / file_name("t")).read_bytes()
    with pytest.raises(StorageError, match="cannot be saved"):
        await storage.update_meta("t", sampling={"temperature": float("nan")})
    assert (tmp_path / file_name("t")).read_bytes() == before
