"""Downloads from mirrors of Hugging Face that omit metadata or redirect into a local network."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from koel_tui.models import redirects
from koel_tui.models.download import Download
from koel_tui.models.hub import DownloadError, Hub, ModelUnavailableError
from tests.models.gguf_file import gguf_bytes
from tests.models.hub_server import HubServer

REPO = "owner/model-GGUF"
BIG = gguf_bytes(300_000)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    monkeypatch.delenv("HF_TOKEN", raising=False)
    with HubServer({"README.md": b"hello", "m-Q4_K_M.gguf": BIG}) as server:
        yield server


@pytest.fixture
def download(server: HubServer, tmp_path: Path) -> Download:
    return Download(tmp_path / "models", Hub(server.url), retry_delays_s=(0, 0, 0))


@pytest.mark.parametrize("header", ["X-Linked-Etag", "X-Checksum-Sha256", "ETag"])
@pytest.mark.parametrize("storage", ["", "https://storage.example.com/file"])
@pytest.mark.parametrize("without_commit", [False, True])
def test_report_37_a_mirror_without_metadata_gives_the_checksum_in_a_header(
    download: Download, server: HubServer, header: str, storage: str, without_commit: bool
) -> None:
    server.without_lfs, server.without_commit = True, without_commit
    server.checksum_header, server.storage = header, storage
    assert download.pull(REPO).read_bytes() == BIG


@pytest.mark.parametrize("fault", ["without_head", "redirects_inside"])
@pytest.mark.parametrize("without_size", [False, True])
def test_report_37_a_mirror_gives_the_headers_only_to_a_request_for_the_file(
    download: Download, server: HubServer, fault: str, without_size: bool
) -> None:
    server.without_lfs, server.checksum_header = True, "X-Checksum-Sha256"
    server.without_size = without_size
    setattr(server, fault, True)
    assert download.pull(REPO).read_bytes() == BIG


def test_report_37_a_mirror_that_refuses_head_and_has_no_checksum_is_explained(
    download: Download, server: HubServer
) -> None:
    server.without_lfs = server.without_head = True
    with pytest.raises(ModelUnavailableError, match=r"no checksum.*HF_ENDPOINT.*--model"):
        download.pull(REPO)


def test_report_37_a_file_of_a_mirror_that_differs_from_its_checksum_is_refused(
    download: Download, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.without_lfs, server.checksum_header = True, "X-Linked-Etag"
    monkeypatch.setattr(server, "checksum", lambda content: "0" * 64)
    with pytest.raises(DownloadError, match=r"m-Q4_K_M\.gguf"):
        download.pull(REPO)
    assert not list(download.directory.rglob("*.gguf"))


def test_report_37_without_any_checksum_the_message_names_other_ways(
    download: Download, server: HubServer
) -> None:
    server.without_lfs = True
    with pytest.raises(ModelUnavailableError, match=r"no checksum.*HF_ENDPOINT.*--model"):
        download.pull(REPO)


def test_report_37_a_mirror_that_ignores_ranges_starts_from_the_beginning(
    download: Download, server: HubServer
) -> None:
    server.without_lfs, server.checksum_header = True, "X-Linked-Etag"
    server.takes_ranges, server.cuts = False, [100_000]
    assert download.pull(REPO).read_bytes() == BIG


def test_report_37_a_redirect_of_a_public_mirror_into_the_own_network_is_explained(
    download: Download, server: HubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redirects, "_is_private", lambda host, port: host == "10.0.0.5")
    server.moved = (302, "https://10.0.0.5/")
    with pytest.raises(DownloadError, match=r"this computer or its network.*HF_ENDPOINT"):
        download.pull(REPO)
