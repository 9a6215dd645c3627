"""Downloads over a real connection: broken transfers, wrong data and refused requests."""

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import close_session

from koel_tui.models import ModelFileError
from koel_tui.models.download import Download, DownloadStopped, UnwritableError
from koel_tui.models.downloaded import partial_downloads
from koel_tui.models.hub import DownloadError, Hub, ModelUnavailableError, TransientDownloadError
from tests.models.gguf_file import gguf_bytes
from tests.models.hub_server import HubServer

REPO = "owner/model-GGUF"
BIG = gguf_bytes(3_000_000)
FILES = {
    "README.md": b"hello",
    "m-Q4_K_M.gguf": BIG,
    "m-Q8_0.gguf": gguf_bytes(5000, seed=8),
    "mmproj-m-Q4_K_M.gguf": gguf_bytes(3000),
}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer(dict(FILES)) as server:
        yield server


@pytest.fixture
def download(server: HubServer, tmp_path: Path) -> Download:
    return Download(tmp_path / "models", Hub(server.url), retry_delays_s=(0, 0, 0))


def files_in(directory: Path) -> list[str]:
    return sorted(str(each.relative_to(directory)) for each in directory.rglob("*.*")
                  if each.is_file())  # fmt: skip


def test_a_model_arrives_whole_with_progress(download: Download, server: HubServer) -> None:
    reported: list[tuple[int, int]] = []
    path = download.pull(REPO, on_progress=lambda *words: reported.append(words))
    assert path == download.directory / "owner" / "model-GGUF" / "m-Q4_K_M.gguf"
    assert path.read_bytes() == BIG
    assert path.stat().st_mode & 0o777 == 0o600
    assert (
        len(reported) > 5 and reported == sorted(reported) and reported[-1] == (len(BIG), len(BIG))
    )
    assert files_in(download.directory) == ["owner/model-GGUF/m-Q4_K_M.gguf"]
    download.pull(REPO)
    assert server.begins == [0]  # a complete file is not downloaded again


@pytest.mark.parametrize(
    ("wanted", "name"),
    [("m-Q8_0.gguf", "m-Q8_0"), ("q8_0", "m-Q8_0"), ("Q4_K_M", "m-Q4_K_M"), (None, "m-Q4_K_M")],
)
def test_a_file_is_named_whole_or_in_part(
    download: Download, wanted: str | None, name: str
) -> None:
    assert download.pull(REPO, wanted).stem == name


def test_a_repository_without_a_default_file_lists_its_files(
    download: Download, server: HubServer
) -> None:
    server.files["other-Q4_K_M.gguf"] = gguf_bytes()
    with pytest.raises(ModelUnavailableError, match=r"has: m-Q4_K_M.gguf, other-Q4_K_M.gguf\."):
        download.pull(REPO)
    with pytest.raises(ModelUnavailableError, match=r"No files match 'Q2'.*has: m-Q4_K_M.gguf, m-"):
        download.pull(REPO, "Q2")
    server.files = {"only-F16.gguf": gguf_bytes()}
    assert download.pull(REPO).name == "only-F16.gguf"
    server.files = {"README.md": b""}
    with pytest.raises(ModelUnavailableError, match="no GGUF file"):
        download.pull(REPO)


def test_a_broken_connection_is_taken_up_where_it_broke(
    download: Download, server: HubServer
) -> None:
    server.cuts = [700_000, 0, 1_000_000]
    reported: list[int] = []
    path = download.pull(REPO, on_progress=lambda done, _total: reported.append(done))
    assert path.read_bytes() == BIG
    assert server.begins == [0, 700_000, 700_000, 1_700_000]
    assert reported == sorted(reported)


def test_an_abandoned_download_keeps_its_part_and_resumes_next_time(
    download: Download, server: HubServer
) -> None:
    server.cuts = [1_000_000, *[0] * 3]
    with pytest.raises(TransientDownloadError, match=r"1 of 3 MB are kept"):
        download.pull(REPO)
    assert server.begins == [0, *[1_000_000] * 3]
    (begun,) = partial_downloads(download.directory)
    assert (begun.name, begun.size_bytes) == ("m-Q4_K_M", 1_000_000)
    server.begins.clear()
    assert download.pull(REPO).read_bytes() == BIG
    assert server.begins == [1_000_000]
    assert partial_downloads(download.directory) == []


def test_a_download_restarts_if_the_server_does_not_support_ranges(
    download: Download, server: HubServer
) -> None:
    server.takes_ranges = False
    server.cuts = [700_000]
    assert download.pull(REPO).read_bytes() == BIG


def test_a_failing_server_is_asked_again(download: Download, server: HubServer) -> None:
    server.statuses = [503, 429]
    assert download.pull(REPO).read_bytes() == BIG
    server.statuses = [418]
    with pytest.raises(DownloadError, match="answered 418") as refused:
        download.pull(REPO, "Q8")
    assert not isinstance(refused.value, TransientDownloadError)


def test_a_wrong_checksum_installs_nothing(download: Download, server: HubServer) -> None:
    server.digests["m-Q4_K_M.gguf"] = "a" * 64
    with pytest.raises(DownloadError, match=r"The SHA-256 of .* is wrong"):
        download.pull(REPO)
    assert files_in(download.directory) == []


def test_a_partial_file_larger_than_the_download_is_not_installed(
    download: Download, server: HubServer
) -> None:
    target = download.directory / REPO / "m-Q8_0.gguf"
    assert download.pull(REPO, "Q8") == target
    sha = "b" * 12
    server.digests["m-Q8_0.gguf"] = sha + "0" * 52
    target.with_name(f".m-Q8_0.gguf.{sha}.part").write_bytes(bytes(6000))
    with pytest.raises(DownloadError, match=r"The SHA-256 of .* is wrong"):
        download.pull(REPO, "Q8")
    assert target.read_bytes() == FILES["m-Q8_0.gguf"]  # the old file is kept


def test_a_file_that_is_not_a_model_is_not_installed(download: Download, server: HubServer) -> None:
    server.files["bad.gguf"] = b"this is a web page"
    with pytest.raises(ModelFileError, match=r"bad.gguf: it is not a GGUF file"):
        download.pull(REPO, "bad.gguf")
    assert files_in(download.directory) == []


def test_a_missing_repository_is_reported(download: Download) -> None:
    with pytest.raises(ModelUnavailableError, match="owner/nothing was not found on Hugging Face"):
        download.pull("owner/nothing")
    for odd in ("../x", "a/b/c", "a b", ""):
        with pytest.raises(ModelUnavailableError, match=r"is not a repository\. Give OWNER/NAME"):
            download.pull(odd)
    assert not download.directory.exists()


@pytest.mark.parametrize("status", [401, 403])
def test_the_error_of_a_gated_repository_names_the_next_step(
    download: Download, server: HubServer, status: int
) -> None:
    server.statuses, server.error_code = [status], "GatedRepo"
    with pytest.raises(ModelUnavailableError, match=r"Accept them .*hf auth login"):
        download.pull(REPO)
    server.statuses, server.error_code = [status], ""
    with pytest.raises(ModelUnavailableError, match="hf auth login"):
        download.pull(REPO)


def test_the_token_is_sent(
    download: Download, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    download.pull(REPO, "Q8")
    assert server.tokens == ["Bearer hf_secret"] * 2


def test_a_download_in_offline_mode_is_refused(
    download: Download, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(DownloadError, match="HF_HUB_OFFLINE is set"):
        download.pull(REPO)


def test_an_unreachable_server_is_reported(tmp_path: Path) -> None:
    with HubServer({}) as gone:
        url = gone.url
    with pytest.raises(DownloadError, match="Cannot reach the server for owner/model-GGUF"):
        Download(tmp_path, Hub(url), retry_delays_s=()).pull(REPO)


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    server: HubServer, tmp_path: Path
) -> None:
    asked: list[Path] = []

    def free(directory: Path) -> int:
        asked.append(directory)
        return 2_000_000

    download = Download(tmp_path / "models", Hub(server.url), free=free)
    with pytest.raises(UnwritableError, match=r"needs 3 MB more, but only 2 MB are free"):
        download.pull(REPO)
    assert (asked, server.begins) == ([tmp_path / "models"], [])
    assert not download.directory.exists()
    partial = tmp_path / "models" / REPO
    assert download.pull(REPO, "Q8").parent == partial


def test_a_full_disk_keeps_the_downloaded_part(
    download: Download, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UnwritableError, match="No space left on device"):
        download.pull(REPO)
    monkeypatch.setattr(os, "fsync", real)
    assert files_in(download.directory / REPO)[0].endswith(".part")
    assert download.pull(REPO).read_bytes() == BIG
    assert server.begins == [0]


def test_a_stopped_download_keeps_its_part(download: Download, server: HubServer) -> None:
    stop = threading.Event()

    def halfway(done: int, total: int) -> None:
        if done > total // 2:
            stop.set()

    with pytest.raises(DownloadStopped):
        download.pull(REPO, on_progress=halfway, stop=stop)
    (begun,) = partial_downloads(download.directory)
    assert len(BIG) // 2 < begun.size_bytes < len(BIG)
    assert download.pull(REPO).read_bytes() == BIG
    assert server.begins == [0, begun.size_bytes]


def test_two_downloads_of_the_same_file_exclude_each_other(
    download: Download, server: HubServer
) -> None:
    server.gate = threading.Event()
    begun = threading.Event()
    result: list[Any] = []
    first = threading.Thread(
        target=lambda: result.append(download.pull(REPO, on_progress=lambda *_: begun.set()))
    )
    first.start()
    assert begun.wait(20)
    with pytest.raises(DownloadError, match="is already being downloaded"):
        download.pull(REPO)
    server.gate.set()
    first.join(20)
    assert result[0].read_bytes() == BIG


def test_all_parts_of_a_model_are_downloaded(download: Download, server: HubServer) -> None:
    names = [f"Q4_K_M/big-0000{number}-of-00002.gguf" for number in (1, 2)]
    server.files = {name: gguf_bytes(4000, seed) for seed, name in enumerate(names)}
    reported: list[tuple[int, int]] = []
    path = download.pull(REPO, on_progress=lambda *words: reported.append(words))
    assert path == download.directory / REPO / names[0]
    for name, content in server.files.items():
        assert (download.directory / REPO / name).read_bytes() == content
    total = sum(map(len, server.files.values()))
    assert reported[-1] == (total, total) and reported == sorted(reported)


@pytest.mark.parametrize(
    "name",
    ["../../out.gguf", "/etc/out.gguf", "a//b.gguf", ".git/b.gguf", "a\\b.gguf", "\x1b.gguf"],
)
def test_file_names_outside_the_download_folder_are_refused(
    download: Download, server: HubServer, name: str
) -> None:
    server.files = {name: gguf_bytes()}
    with pytest.raises(ModelUnavailableError, match="cannot be verified"):
        download.pull(REPO)
    assert not download.directory.exists()


@pytest.mark.parametrize("digest", ["", "0" * 63, "A" * 64, "../../../../../x" + "0" * 48])
def test_an_invalid_checksum_is_refused(download: Download, server: HubServer, digest: str) -> None:
    server.digests["m-Q4_K_M.gguf"] = digest
    with pytest.raises(ModelUnavailableError, match="cannot be verified"):
        download.pull(REPO)
    assert not download.directory.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"<html>Sign in to this network</html>",
        b"[]",
        b"{}",
        b"null",
        b'"text"',
        b"\xff",
        pytest.param(b"[" * 100_000, id="deep"),
        *(
            b'{"id": "a/b", "sha": "1", "siblings": [{"rfilename": "m.gguf", "lfs": %s}]}' % lfs
            for lfs in (b'{"size": 3}', b'{"sha256": 1, "size": 1, "pointerSize": 1}',
                        b'{"sha256": "%s", "size": "abc", "pointerSize": 1}' % (b"0" * 64),
                        b'{"sha256": "%s", "size": -1, "pointerSize": 1}' % (b"0" * 64),
                        b'{"sha256": "%s", "size": 1e999, "pointerSize": 1}' % (b"0" * 64))
        ),
    ],
)  # fmt: skip
def test_an_invalid_response_of_hugging_face_is_reported(
    download: Download, server: HubServer, body: bytes
) -> None:
    server.body = body
    with pytest.raises(DownloadError, match="is not valid"):
        download.pull(REPO)
    assert not download.directory.exists()


@pytest.mark.parametrize(
    ("variable", "value"), [("SSL_CERT_FILE", "/nonexistent"), ("HTTPS_PROXY", "odd://here:1")]
)
def test_an_invalid_connection_setting_is_reported(
    download: Download, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    close_session()
    with pytest.raises(DownloadError, match=rf"Cannot set up.*Check .*{variable}"):
        download.pull(REPO)


def test_a_partial_file_removed_during_the_download_is_reported(
    download: Download, server: HubServer
) -> None:
    def remove(done: int, _total: int) -> None:
        for part in download.directory.rglob("*.part"):
            part.unlink()

    with pytest.raises(DownloadError, match="was removed meanwhile"):
        download.pull(REPO, on_progress=remove)
    assert download.pull(REPO).read_bytes() == BIG


def test_a_file_just_completed_by_another_download_is_not_downloaded_again(
    download: Download, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = fcntl.flock

    def late(file: Any, operation: int) -> None:
        for part in download.directory.rglob("*.part"):
            part.write_bytes(BIG)
            part.rename(part.with_name("m-Q4_K_M.gguf"))
        lock(file, operation)

    monkeypatch.setattr(fcntl, "flock", late)
    assert download.pull(REPO).read_bytes() == BIG
    assert server.begins == []
    assert files_in(download.directory) == ["owner/model-GGUF/m-Q4_K_M.gguf"]


def test_a_file_without_checksum_is_refused(download: Download, server: HubServer) -> None:
    server.without_lfs = True
    with pytest.raises(ModelUnavailableError, match="cannot be verified"):
        download.pull(REPO)
