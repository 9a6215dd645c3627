"""Client of Hugging Face: lists repository files and downloads them over HTTP."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from koel_tui.models.redirects import RefusedRedirect, refuse_unsafe
from koel_tui.models.split_files import is_model_name, part_of
from koel_tui.text import safe_line

if TYPE_CHECKING:
    from huggingface_hub import HfApi, ModelInfo

_PREFERRED = "q4_k_m"
_TIMEOUT_S = 15.0
_MOST_NAMED = 30
_SHA256 = re.compile("[0-9a-f]{64}")
_ODD = (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError)
"""Errors of huggingface_hub or this module for an invalid server response."""
_AGAIN = (408, 425, 429, 500, 502, 503, 504)


class DownloadError(Exception):
    """A model cannot be downloaded; the message has the cause and the next step."""


class NotOfferedError(DownloadError):
    """The requested model does not exist or is not public."""


class UnclearFileError(NotOfferedError):
    """The file name is ambiguous: `question` is the message, `files` are the candidates."""

    def __init__(self, question: str, repo: str, files: Sequence[str]) -> None:
        names = [safe_line(name) for name in files]
        shown = ", ".join(names[:_MOST_NAMED]) + (", …" if len(names) > _MOST_NAMED else "")
        super().__init__(f"{question} {repo} has: {shown}.")
        self.question = question
        self.files = tuple(files)


class BrokenOffError(DownloadError):
    """A transient failure of the connection or server; a retry may help."""


@dataclass(frozen=True, slots=True)
class HubFile:
    """A repository file at one commit; `name` is its path in the repository."""

    repo: str
    commit: str
    name: str
    size_bytes: int
    sha256: str


class Hub:
    """The server at `endpoint`; None is that of HF_ENDPOINT, or huggingface.co."""

    def __init__(self, endpoint: str | None = None) -> None:
        self._endpoint = endpoint

    def model(self, repo: str, wanted: str | None = None) -> tuple[HubFile, ...]:
        """Return the file of `repo` that matches `wanted`, or the default file; all its parts.

        Raises `DownloadError`.
        """
        _connect()
        try:
            with _explained(repo):
                info = self._api().model_info(repo, files_metadata=True, timeout=_TIMEOUT_S)
            return _files(repo, info, wanted)
        except OSError as error:
            raise DownloadError(
                f"Cannot ask for {safe_line(repo)}: {safe_line(str(error))}. Set that right first."
            ) from error
        except _ODD as error:
            raise DownloadError(
                f"The server answered something else for {safe_line(repo)} than Hugging Face does. "
                "Check HF_ENDPOINT and the proxy, or try again later."
            ) from error

    @contextmanager
    def opened(self, file: HubFile, begin: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """Open a file at byte `begin`; yield the actual offset, and the chunks from there.

        Raises `DownloadError`, also within the `with` block if the connection fails.
        """
        from huggingface_hub import get_session, hf_hub_url, hf_raise_for_status

        # Public by an `__all__` that is built at import, which type checkers do not see.
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        _connect()
        url = hf_hub_url(file.repo, file.name, revision=file.commit, endpoint=self._endpoint)
        headers = build_hf_headers(library_name="koel-chat")
        headers["Accept-Encoding"] = "identity"  # compression would change lengths and offsets
        if begin:
            headers["Range"] = f"bytes={begin}-"
        with (
            _explained(file.repo, file.name),
            get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT_S) as response,
        ):
            hf_raise_for_status(response)
            yield begin if response.status_code == 206 else 0, response.iter_raw()

    def _api(self) -> "HfApi":
        from huggingface_hub import HfApi

        return HfApi(endpoint=self._endpoint, library_name="koel-chat")


def _connect() -> None:
    """Set up the shared HTTP session. Raises `DownloadError` for an invalid configuration."""
    from huggingface_hub import get_session

    try:
        session = get_session()
    except (OSError, ValueError) as error:
        raise DownloadError(
            f"Cannot connect to anything: {safe_line(str(error))}. "
            "Check SSL_CERT_FILE, SSL_CERT_DIR and HTTPS_PROXY."
        ) from error
    hooks = session.event_hooks
    if refuse_unsafe not in hooks["response"]:
        session.event_hooks = {**hooks, "response": [*hooks["response"], refuse_unsafe]}


def _files(repo: str, info: "ModelInfo", wanted: str | None) -> tuple[HubFile, ...]:
    """Return the files of the selected model. Raises `NotOfferedError` and errors of `_ODD`."""
    offered = {
        each.rfilename: each
        for each in info.siblings or []
        if is_model_name(PurePosixPath(each.rfilename).name)
    }
    files = []
    for name in _chosen(repo, tuple(offered), wanted):
        lfs = getattr(offered.get(name), "lfs", None)
        if not _is_tame(name) or lfs is None or not info.sha or not _SHA256.fullmatch(lfs.sha256):
            raise NotOfferedError(
                f"{repo} offers no {safe_line(name)} whose contents can be checked. "
                "Choose another file."
            )
        size = int(lfs.size)
        if size < 0:
            raise ValueError("a file of less than nothing")
        files.append(HubFile(repo, str(info.sha), name, size, lfs.sha256))
    return tuple(files)


@contextmanager
def _explained(repo: str, name: str = "") -> Iterator[None]:
    """Convert errors of huggingface_hub to a `DownloadError` with cause and next step."""
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    what = safe_line(f"{repo}/{name}" if name else repo)
    # The HTTPError of the HTTP library; not imported by name, as it may be httpx or httpx2.
    transport: type[BaseException] = HfHubHTTPError.__mro__[1]
    try:
        yield
    except HFValidationError:
        raise NotOfferedError(
            f"{safe_line(repo)!r} is no repository: give OWNER/NAME as Hugging Face shows it."
        ) from None
    except RefusedRedirect as error:
        raise DownloadError(
            f"Cannot fetch {what}: {error}. Nothing was sent there. Check HF_ENDPOINT and the "
            "proxy, or choose another model."
        ) from None
    except OfflineModeIsEnabled:
        raise DownloadError(
            f"Cannot fetch {what}: HF_HUB_OFFLINE is set. Unset it to download."
        ) from None
    except GatedRepoError:
        raise NotOfferedError(
            f"{what} is for those who agreed to its terms. Agree to them on its page on "
            "Hugging Face, then sign in with `hf auth login` or set HF_TOKEN."
        ) from None
    except (RepositoryNotFoundError, EntryNotFoundError):
        raise NotOfferedError(
            f"There is no {what} on Hugging Face, or it is private. Check the name; for a private "
            "one sign in with `hf auth login` or set HF_TOKEN."
        ) from None
    except HfHubHTTPError as error:
        raise _refused(what, error.response.status_code) from error
    except transport as error:
        reason = safe_line(str(error)) or type(error).__name__
        raise BrokenOffError(
            f"Cannot reach the server for {what}: {reason}. Check the connection and try again."
        ) from error


def _refused(what: str, status: int) -> DownloadError:
    if status in (401, 403):
        return NotOfferedError(
            f"The server refuses {what} ({status}). Sign in with `hf auth login` or set HF_TOKEN."
        )
    if status == 404:
        return NotOfferedError(f"There is no {what} on Hugging Face. Check the name.")
    kind = BrokenOffError if status in _AGAIN else DownloadError
    return kind(f"The server answered {status} for {what}. Try again later.")


def _chosen(repo: str, offered: tuple[str, ...], wanted: str | None) -> tuple[str, ...]:
    """Return the file names of the selected model. Raises `NotOfferedError`."""
    models = [name for name in offered if (part := part_of(name)) is None or part.number == 1]
    if not models:
        raise NotOfferedError(f"{repo} has no GGUF file. Look for a repository with GGUF in it.")
    if wanted is None:
        fitting = [name for name in models if _PREFERRED in name.lower()]
        fitting = models if len(models) == 1 else fitting
        problem = "Which file is it to be?"
    else:
        plain = wanted.casefold()
        exact = [name for name in models if wanted in (name, PurePosixPath(name).name)]
        fitting = exact or [name for name in models if plain in name.casefold()]
        problem = f"{len(fitting) or 'None'} of its files fit {safe_line(wanted)!r}."
    if len(fitting) != 1:
        raise UnclearFileError(problem, repo, fitting or models)
    part = part_of(fitting[0])
    return (fitting[0],) if part is None else part.names()


def _is_tame(name: str) -> bool:
    """Return whether a repository path stays within its target folder."""
    parts = name.split("/")
    return all(
        part and not part.startswith(".") and "\\" not in part and part.isprintable()
        for part in parts
    )
