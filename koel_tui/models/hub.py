"""Client of Hugging Face: lists repository files and downloads them over HTTP."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Protocol

from koel_tui.models.redirects import RefusedRedirect, refuse_unsafe
from koel_tui.models.split_files import is_model_file_name, parse_part
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

_DEFAULT_QUANTIZATION = "q4_k_m"
"""The part of a file name that selects a file when none is requested."""
_TIMEOUT_S = 15.0
_MAX_LISTED = 30
"""The maximum number of file names in an error message."""
_SHA256 = re.compile("[0-9a-f]{64}")
_DEFAULT_REVISION = "main"
_CHECKSUM_HEADERS = ("x-linked-etag", "x-checksum-sha256", "etag")
"""The headers that may have a file's SHA-256: of Hugging Face, Artifactory, and other mirrors."""
_INVALID_RESPONSE = (
    ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError
)  # fmt: skip
"""Errors that an invalid response of the server causes, in huggingface_hub or in this module."""
_OK = 200
_METHOD_REFUSED = (405, 501)
"""The HTTP statuses of a server that does not know a method, here HEAD."""
_RETRY_STATUSES = (408, 425, 429, 500, 502, 503, 504)
"""The HTTP statuses after which a retry may help."""


class DownloadError(Exception):
    """A model cannot be downloaded; the message has the cause and the next step."""


class ModelUnavailableError(DownloadError):
    """The requested model does not exist or is not public."""


class AmbiguousFileError(ModelUnavailableError):
    """The user must choose a file: `question` is the message, `files` are the candidates."""

    def __init__(self, question: str, repo: str, files: Sequence[str]) -> None:
        names = [safe_line(name) for name in files]
        listed = ", ".join(names[:_MAX_LISTED]) + (", …" if len(names) > _MAX_LISTED else "")
        super().__init__(f"{question} {repo} has: {listed}.")
        self.question = question
        self.files = tuple(files)


class TransientDownloadError(DownloadError):
    """A transient failure of the connection or server; a retry may help."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A repository file at one commit; `name` is its path in the repository."""

    repo: str
    commit: str
    name: str
    size_bytes: int
    sha256: str


class _Response(Protocol):
    """An HTTP response, independent of the library."""

    @property
    def status_code(self) -> int:
        """The status."""
        ...

    @property
    def headers(self) -> Mapping[str, str]:
        """The headers, by name in any case."""
        ...


class Hub:
    """The server at `endpoint`; None means that of HF_ENDPOINT, or huggingface.co."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def model(self, repo: str, requested: str | None = None) -> tuple[HubFile, ...]:
        """Return the files of one model in `repo`: one file, or all parts of a split model.

        `requested` is the name of its first file, or a part of that; None selects the default.
        Raises `DownloadError`.
        """
        from huggingface_hub import HfApi

        _refuse_unsafe_redirects()
        try:
            with _convert_errors(repo):
                api = HfApi(endpoint=self._endpoint, library_name="koel-chat")
                info = api.model_info(repo, files_metadata=True, timeout=_TIMEOUT_S)
            return _files(repo, info, requested, self._endpoint)
        except OSError as error:
            raise DownloadError(
                f"Cannot look up {safe_line(repo)}: {safe_line(str(error))}. "
                "Fix the problem and try again."
            ) from error
        except _INVALID_RESPONSE as error:
            raise DownloadError(
                f"The server's answer for {safe_line(repo)} is not valid. "
                "Check HF_ENDPOINT and the proxy, or try again later."
            ) from error

    @contextmanager
    def open_file(self, file: HubFile, offset: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Open a file at byte `offset`; yield the actual offset, and the chunks from there.

        Raises `DownloadError`, also within the `with` block if the connection fails.
        """
        from huggingface_hub import get_session, hf_raise_for_status

        _refuse_unsafe_redirects()
        url, headers = _file_request(file.repo, file.name, file.commit, self._endpoint)
        if offset:
            headers["Range"] = f"bytes={offset}-"
        with (
            _convert_errors(file.repo, file.name),
            get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_S) as response,
        ):
            hf_raise_for_status(response)
            is_partial = response.status_code == 206  # else the server sends the whole file
            yield offset if is_partial else 0, response.iter_raw()


def _refuse_unsafe_redirects() -> None:
    """Make the HTTP session of huggingface_hub refuse unsafe redirects.

    Raises `DownloadError` if the session cannot be created from the environment.
    """
    from huggingface_hub import get_session

    try:
        session = get_session()
    except (OSError, ValueError) as error:
        raise DownloadError(
            f"Cannot set up connections: {safe_line(str(error))}. "
            "Check SSL_CERT_FILE, SSL_CERT_DIR and HTTPS_PROXY."
        ) from error
    hooks = session.event_hooks
    if refuse_unsafe not in hooks["response"]:
        session.event_hooks = {**hooks, "response": [*hooks["response"], refuse_unsafe]}


def _files(
    repo: str, info: "ModelInfo", requested: str | None, endpoint: str | None
) -> tuple[HubFile, ...]:
    """Return the files of the selected model.

    Raises `DownloadError` and errors of `_INVALID_RESPONSE`.
    """
    offered = {
        sibling.rfilename: sibling
        for sibling in info.siblings or []
        if is_model_file_name(PurePosixPath(sibling.rfilename).name)
    }
    commit = str(info.sha or _DEFAULT_REVISION)
    files = []
    for name in _select_files(repo, tuple(offered), requested):
        sibling = offered.get(name)  # a part may be missing
        if not _is_safe_path(name) or sibling is None:
            raise _unverifiable(repo, name)
        lfs = getattr(sibling, "lfs", None)
        if lfs is not None:
            size, sha256 = int(lfs.size), lfs.sha256
        else:
            size, sha256 = _file_headers(repo, name, commit, endpoint)
            size = size if sibling.size is None else sibling.size
        if not _SHA256.fullmatch(sha256):
            raise _unverifiable(repo, name)
        if size < 0:
            raise ValueError("a negative file size")  # the caller reports an invalid response
        files.append(HubFile(repo, commit, name, size, sha256))
    return tuple(files)


def _unverifiable(repo: str, name: str) -> ModelUnavailableError:
    return ModelUnavailableError(
        f"The contents of {safe_line(name)} in {safe_line(repo)} cannot be verified, because the "
        "server gives no checksum. Choose another file or another server (HF_ENDPOINT), or "
        "download the file yourself and give its path with --model."
    )


def _file_request(
    repo: str, name: str, commit: str, endpoint: str | None
) -> tuple[str, dict[str, str]]:
    """Return the address of a file and the headers of a request for it."""
    from huggingface_hub import hf_hub_url, utils

    # `utils` builds its `__all__` at import, so type checkers do not see the name.
    headers: dict[str, str] = utils.build_hf_headers(library_name="koel-chat")  # type: ignore[attr-defined]  # lazy export
    headers["Accept-Encoding"] = "identity"  # compression would change lengths and offsets
    return hf_hub_url(repo, name, revision=commit, endpoint=endpoint), headers


def _file_headers(repo: str, name: str, commit: str, endpoint: str | None) -> tuple[int, str]:
    """Return size and SHA-256 from the headers of a file; '' if the server gives no checksum.

    Mirrors describe a repository without its checksums, but most pass the headers on. The size is
    negative if it is not known. Raises `DownloadError` and errors of `_INVALID_RESPONSE`.
    """
    from huggingface_hub import get_session, hf_raise_for_status

    url, headers = _file_request(repo, name, commit, endpoint)
    session = get_session()
    with _convert_errors(repo, name):
        # Not the headers after a redirect: a storage host may refuse this method.
        response = session.head(url, headers=headers, timeout=_TIMEOUT_S, follow_redirects=False)
        is_refused = response.status_code in _METHOD_REFUSED
        if not is_refused and not response.has_redirect_location:
            hf_raise_for_status(response)
        size, sha256 = _size(response), _checksum(response)
        if is_refused or (response.has_redirect_location and (size < 0 or not sha256)):
            one_byte = {**headers, "Range": "bytes=0-0"}
            with session.stream("GET", url, headers=one_byte, timeout=_TIMEOUT_S) as response:
                hf_raise_for_status(response)
                for each in (*response.history, response):
                    size, sha256 = max(size, _size(each)), sha256 or _checksum(each)
    return size, sha256


def _checksum(response: _Response) -> str:
    """Return the SHA-256 of a file from the headers of a response, '' if there is none."""
    for header in _CHECKSUM_HEADERS:
        sha256 = response.headers.get(header, "").removeprefix("W/").strip('"').lower()
        if _SHA256.fullmatch(sha256):
            return sha256
    return ""


def _size(response: _Response) -> int:
    """Return the size of a file from the headers of a response, negative if it is not known."""
    headers = response.headers
    size = headers.get("x-linked-size") or headers.get("content-range", "").rpartition("/")[2]
    if not size and response.status_code == _OK:
        size = headers.get("content-length", "")
    return int(size) if size.isdecimal() else -1


@contextmanager
def _convert_errors(repo: str, name: str = "") -> Iterator[None]:
    """Convert errors of huggingface_hub to a `DownloadError` with cause and next step."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    subject = safe_line(f"{repo}/{name}" if name else repo)
    # The HTTPError of the HTTP library; not imported by name, as it may be httpx or httpx2.
    transport: type[BaseException] = HfHubHTTPError.__mro__[1]
    try:
        yield
    except HFValidationError:
        raise ModelUnavailableError(
            f"{safe_line(repo)!r} is not a repository. Give OWNER/NAME as Hugging Face shows it."
        ) from None
    except RefusedRedirect as error:
        raise DownloadError(
            f"Cannot download {subject}: {error}, which was refused. Check HF_ENDPOINT and the "
            "proxy, or choose another model."
        ) from None
    except OfflineModeIsEnabled:
        raise DownloadError(
            f"Cannot download {subject}: HF_HUB_OFFLINE is set. Unset it to download."
        ) from None
    except GatedRepoError:
        raise ModelUnavailableError(
            f"{subject} requires that you accept its terms. Accept them on its page on "
            "Hugging Face, then sign in with `hf auth login` or set HF_TOKEN."
        ) from None
    except (RepositoryNotFoundError, EntryNotFoundError):
        raise ModelUnavailableError(
            f"{subject} was not found on Hugging Face, or is private. Check the name; for a "
            "private one, sign in with `hf auth login` or set HF_TOKEN."
        ) from None
    except HfHubHTTPError as error:
        raise _status_error(subject, error.response.status_code) from error
    except transport as error:
        reason = safe_line(str(error)) or type(error).__name__
        raise TransientDownloadError(
            f"Cannot reach the server for {subject}: {reason}. Check the connection and try again."
        ) from error


def _status_error(subject: str, status: int) -> DownloadError:
    if status in (401, 403):
        return ModelUnavailableError(
            f"The server refused {subject} ({status}). "
            "Sign in with `hf auth login` or set HF_TOKEN."
        )
    if status == 404:
        return ModelUnavailableError(f"{subject} was not found on Hugging Face. Check the name.")
    kind = TransientDownloadError if status in _RETRY_STATUSES else DownloadError
    return kind(f"The server answered {status} for {subject}. Try again later.")


def _select_files(repo: str, offered: tuple[str, ...], requested: str | None) -> tuple[str, ...]:
    """Return the file names of the selected model. Raises `ModelUnavailableError`."""
    first_files = [
        name for name in offered if (part := parse_part(name)) is None or part.number == 1
    ]
    if not first_files:
        raise ModelUnavailableError(
            f"{repo} has no GGUF file. Choose a repository with GGUF files."
        )
    if requested is None:
        default = [name for name in first_files if _DEFAULT_QUANTIZATION in name.lower()]
        matching = first_files if len(first_files) == 1 else default
        question = "Which file do you want?"
    else:
        folded = requested.casefold()
        exact = [name for name in first_files if requested in (name, PurePosixPath(name).name)]
        matching = exact or [name for name in first_files if folded in name.casefold()]
        question = f"{len(matching) or 'No'} files match {safe_line(requested)!r}."
    if len(matching) != 1:
        raise AmbiguousFileError(question, repo, matching or first_files)
    part = parse_part(matching[0])
    return (matching[0],) if part is None else part.names()


def _is_safe_path(name: str) -> bool:
    """Return whether a repository path stays within its target folder and hides no file."""
    parts = name.split("/")
    return all(
        part and not part.startswith(".") and "\\" not in part and part.isprintable()
        for part in parts
    )
