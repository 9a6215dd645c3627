"""Redirects to other servers: they are followed without the token, or refused."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import close_session

from koel_tui.models.download import Download
from koel_tui.models.hub import DownloadError, Hub, TransientDownloadError
from koel_tui.models.redirects import RefusedRedirect, check_redirect
from tests.hostile_summary import Tally
from tests.models.gguf_file import gguf_bytes
from tests.models.hub_server import HubServer

REPO = "owner/model-GGUF"
FILES = {"m-Q4_K_M.gguf": gguf_bytes(5000)}
STATUSES = (301, 302, 303, 307, 308)
CANARY = "hf_canary"


@pytest.fixture
def servers(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HubServer, HubServer]]:
    """Start the server that gets the requests and another server; the token is `CANARY`."""
    monkeypatch.setenv("HF_TOKEN", CANARY)
    close_session()
    with HubServer(dict(FILES)) as source, HubServer(dict(FILES)) as other:
        yield source, other


@pytest.mark.parametrize("status", STATUSES)
def test_a_redirect_to_another_server_sends_neither_token_nor_body(
    servers: tuple[HubServer, HubServer], tmp_path: Path, status: int, tally: Tally
) -> None:
    source, other = servers
    source.moved = (status, other.url)
    path = Download(tmp_path, Hub(source.url), retry_delays_s=()).pull(REPO)
    assert path.read_bytes() == FILES[path.name]
    assert set(source.tokens) == {f"Bearer {CANARY}"}, "else this tests nothing"
    assert len(other.tokens) == 2 and set(other.tokens) == {None}
    assert set(other.lengths) <= {None, "0"}
    tally("redirect", tried=2)


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("http://169.254.169.254/latest/meta-data/", "link-local or reserved"),
        ("http://2852039166/", "link-local or reserved"),
        ("http://[::ffff:169.254.169.254]/", "link-local or reserved"),
        ("http://0.0.0.0/", "link-local or reserved"),
        ("file:///etc/passwd/", "not http or https"),
        ("ftp://127.0.0.1/", "not http or https"),
        ("http://user:secret@127.0.0.1:9/", "a user name or password"),
    ],
)
def test_a_redirect_to_a_forbidden_address_is_refused(
    servers: tuple[HubServer, HubServer], tmp_path: Path, place: str, why: str, status: int,
    tally: Tally,
) -> None:  # fmt: skip
    source, _ = servers
    download = Download(tmp_path, Hub(source.url), retry_delays_s=(30,))
    (file,) = download.hub.model(REPO)
    source.moved = (status, place)
    began = time.monotonic()
    for ask in (lambda: download.pull(REPO), lambda: download.hub.open_file(file, 0).__enter__()):
        with pytest.raises(DownloadError, match=why) as refused:
            ask()
        assert not isinstance(refused.value, TransientDownloadError), "it would be tried again"
        assert "secret" not in str(refused.value) and "Check HF_ENDPOINT" in str(refused.value)
    assert time.monotonic() - began < 10
    tally("redirect", tried=2)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("https://hub.example/m", "http://hub.example/m"),
        ("https://hub.example/m", "http://cdn.example/m"),
        ("https://8.8.8.8/m", "https://127.0.0.1/m"),
        ("https://8.8.8.8/m", "https://[::1]/m"),
        ("https://8.8.8.8/m", "https://localhost/m"),
        ("https://8.8.8.8/m", "https://10.0.0.1/m"),
        ("https://8.8.8.8/m", "https://192.168.1.1:8443/m"),
        ("https://8.8.8.8/m", "https://[fd00::1]/m"),
        ("https://8.8.8.8/m", "https://0x7f000001/m"),
        ("http://127.0.0.1/m", "http://[fe80::1]/m"),
        ("http://127.0.0.1/m", "http://127.0.0.1:port/m"),
        ("http://127.0.0.1/m", "http:///m"),
    ],
)
def test_an_unsafe_redirect_is_refused(source: str, target: str, tally: Tally) -> None:
    with pytest.raises(RefusedRedirect):
        check_redirect(source, target)
    tally("redirect", tried=1)


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("https://8.8.8.8/m", "https://8.8.4.4/m"),
        ("http://8.8.8.8/m", "https://8.8.8.8/m"),
        ("http://127.0.0.1:1/m", "http://127.0.0.1:2/m"),
        ("https://8.8.8.8/m", "https://nobody-knows.invalid/m"),
    ],
)
def test_redirects_of_model_hosts_are_allowed(source: str, target: str) -> None:
    check_redirect(source, target)
