"""Reading of import files: JSON, or a zip with JSON; databases are only recognized here."""

import re
import zipfile
import zlib
from pathlib import Path
from typing import Any

from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.chatgpt import is_chatgpt
from koel_tui.storage.thread_record import parse_json

MAX_BYTES = 256 * 1024 * 1024
"""The maximum size of a JSON file, unpacked; a larger one, parsed, may not fit in memory."""

_MEMBER = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def detect_kind(path: Path) -> str:
    """Return "sqlite", "zip" or "json" by a file's first bytes. Raises `NotAThreadError`."""
    try:
        if not path.is_file():
            raise NotAThreadError("it is not a file" if path.exists() else "there is no such file")
        with path.open("rb") as file:
            begin = file.read(16)
    except OSError as error:
        raise NotAThreadError(error.strerror or str(error)) from error
    if begin == b"SQLite format 3\0":
        return "sqlite"
    return "zip" if begin.startswith(b"PK\x03\x04") else "json"


def read_json(path: Path, limit: int = MAX_BYTES) -> Any:
    """Return the parsed JSON of a file of at most `limit` bytes. Raises `NotAThreadError`."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise NotAThreadError(error.strerror or str(error)) from error
    return parse_json(_check_size(data, limit).removeprefix(b"\xef\xbb\xbf"))


def read_json_in_zip(path: Path, limit: int = MAX_BYTES) -> list[Any]:
    """Return the conversations in a zip file exported by ChatGPT. Raises `NotAThreadError`.

    Nothing is unpacked to disk, and other members are not read. The sizes in the zip's headers are
    not trusted; `limit` applies to the unpacked bytes of all members.
    """
    found: list[Any] = []
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if _MEMBER.fullmatch(info.filename)]
            for info in sorted(members, key=lambda info: info.filename):
                if info.compress_type not in _COMPRESSIONS or info.flag_bits & 1:
                    raise NotAThreadError(
                        f"{info.filename} in it is encrypted or has an unsupported compression"
                    )
                with archive.open(info) as file:
                    data = _check_size(file.read(limit + 1), limit)
                limit -= len(data)
                wire = parse_json(data)
                if not is_chatgpt(wire):
                    raise NotAThreadError(f"{info.filename} in it has no conversations")
                found += wire if isinstance(wire, list) else [wire]
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, NotAThreadError):  # a ValueError that has the reason already
            raise
        raise NotAThreadError(f"it is not a complete zip file: {error}") from error
    if not members:
        raise NotAThreadError("there is no conversations.json in it")
    return found


def _check_size(data: bytes, limit: int) -> bytes:
    if len(data) > limit:
        raise NotAThreadError(f"it has more than {limit // 1024 // 1024} MB of JSON")
    return data
