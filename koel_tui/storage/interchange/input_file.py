"""Reading of import files: JSON, or a zip with JSON; databases are only recognized here.

A list in JSON is read value by value, so that an export of any size needs the memory of its largest
conversation.
"""

import codecs
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.interchange.chatgpt import is_chatgpt
from koel_tui.storage.thread_record import json_decoder, parse_json

MAX_BYTES = 256 * 1024 * 1024
"""The maximum size of a conversation or thread; a larger one, parsed, may not fit in memory."""

MAX_TOTAL_BYTES = 16 * 1024 * 1024 * 1024
"""The maximum size of all JSON of a file, unpacked."""

OnRead = Callable[[int, int], None]
"""Callback for the progress: the bytes that were read, and their expected number."""

_CHUNK = 256 * 1024
_LONGEST_WORD = 16  # characters; JSON that was cut off fails at most this far before its end
_SPACE = re.compile(r"[ \t\r\n]*")
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


def read_json(
    path: Path,
    on_read: OnRead | None = None,
    *,
    limit: int = MAX_BYTES,
    total_limit: int = MAX_TOTAL_BYTES,
) -> Iterator[Any]:
    """Yield the parsed values of a list in a JSON file, or its only value.

    `limit` applies to each value. Raises `NotAThreadError`, for a list also after valid values.
    """
    try:
        with path.open("rb") as file:
            chunks = _Chunks(path.stat().st_size, total_limit, on_read)
            yield from _read_values(_Text(chunks.read(file)), limit)
    except OSError as error:
        raise NotAThreadError(error.strerror or str(error)) from error


def read_json_in_zip(
    path: Path,
    on_read: OnRead | None = None,
    *,
    limit: int = MAX_BYTES,
    total_limit: int = MAX_TOTAL_BYTES,
) -> Iterator[Any]:
    """Yield the conversations in a zip file exported by ChatGPT. Raises `NotAThreadError`.

    Nothing is unpacked to disk, and other members are not read. The sizes in the zip's headers are
    not trusted; `limit` applies to each conversation, `total_limit` to the unpacked bytes of all
    members.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if _MEMBER.fullmatch(info.filename)]
            chunks = _Chunks(sum(info.file_size for info in members), total_limit, on_read)
            for info in sorted(members, key=lambda info: info.filename):
                if info.compress_type not in _COMPRESSIONS or info.flag_bits & 1:
                    raise NotAThreadError(
                        f"{info.filename} in it is encrypted or has an unsupported compression"
                    )
                with archive.open(info) as file:
                    yield from _conversations(info.filename, chunks.read(file), limit)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
        if isinstance(error, NotAThreadError):  # a ValueError that has the reason already
            raise
        raise NotAThreadError(f"it is not a complete zip file: {error}") from error
    if not members:
        raise NotAThreadError("there is no conversations.json in it")


def _conversations(name: str, chunks: Iterator[bytes], limit: int) -> Iterator[Any]:
    is_first = True
    for value in _read_values(_Text(chunks), limit):
        if is_first and not is_chatgpt(value):
            raise NotAThreadError(f"{name} in it has no conversations")
        is_first = False
        yield value


class _Chunks:
    """Reads files in chunks, reports the progress, and raises beyond a total of `limit` bytes."""

    def __init__(self, expected: int, limit: int, on_read: OnRead | None) -> None:
        self._done, self._expected, self._limit, self._on_read = 0, expected, limit, on_read

    def read(self, file: IO[bytes]) -> Iterator[bytes]:
        while data := file.read(_CHUNK):
            self._done += len(data)
            if self._done > self._limit:
                raise _too_large(self._limit)
            if self._on_read is not None:
                self._on_read(self._done, max(self._done, self._expected))
            yield data


class _Text:
    """The decoded text of a file, of which only the part that is needed is in memory."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decoder: codecs.IncrementalDecoder | None = None
        self._dropped = 0
        self.buffer = ""
        self.is_complete = False  # whether the buffer has the end of the file

    @property
    def character(self) -> int:
        """The number of the first character of the buffer."""
        return self._dropped

    def drop(self, count: int) -> None:
        """Remove characters from the start of the buffer."""
        self.buffer = self.buffer[count:]
        self._dropped += count

    def extend(self, count: int) -> None:
        """Read at least `count` characters, unless the file ends before."""
        pieces = [self.buffer]
        while count > 0 and not self.is_complete:
            data = next(self._chunks, b"")
            self.is_complete = not data
            piece = self._decode(data)
            pieces.append(piece)
            count -= len(piece)
        self.buffer = "".join(pieces)

    def first_character(self) -> str:
        """Return the next character that is not white space, without reading it; empty at the end.

        White space before it is dropped.
        """
        while True:
            space = _SPACE.match(self.buffer)
            end = space.end() if space is not None else 0
            if end < len(self.buffer):
                if end:
                    self.drop(end)
                return self.buffer[0]
            self.drop(end)
            if self.is_complete:
                return ""
            self.extend(1)

    def _decode(self, data: bytes) -> str:
        if self._decoder is None:
            encoding = json.detect_encoding(data)
            self._decoder = codecs.getincrementaldecoder(encoding)("surrogatepass")
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise NotAThreadError("it is not UTF-8") from error


def _read_values(text: _Text, limit: int) -> Iterator[Any]:
    """Yield the values of a list, or the only value."""
    if text.first_character() != "[":
        text.extend(limit + 1 - len(text.buffer))
        if len(text.buffer) > limit:
            raise _too_large(limit)
        yield parse_json(text.buffer)
        return
    text.drop(1)
    decoder = json_decoder()
    if text.first_character() != "]":
        yield _read_value(text, decoder, limit)
        while text.first_character() == ",":
            text.drop(1)
            text.first_character()
            yield _read_value(text, decoder, limit)
    if text.first_character() != "]":
        raise NotAThreadError(f"it is not JSON: the list is cut off at character {text.character}")
    text.drop(1)
    if text.first_character():
        raise NotAThreadError(f"it is not JSON: extra data at character {text.character}")


def _read_value(text: _Text, decoder: json.JSONDecoder, limit: int) -> Any:
    """Return the value at the start of the text; read twice as much until it is complete."""
    while True:
        length = len(text.buffer)
        try:
            value, end = decoder.raw_decode(text.buffer)
        except RecursionError as error:
            raise NotAThreadError("it is nested too deeply") from error
        except json.JSONDecodeError as error:
            is_cut_off = "Unterminated" in error.msg or error.pos > length - _LONGEST_WORD
            if text.is_complete or not is_cut_off:
                position = text.character + error.pos
                raise NotAThreadError(
                    f"it is not JSON: {error.msg} at character {position}"
                ) from error
        except ValueError as error:  # a number with too many digits
            raise NotAThreadError(f"it is not JSON: {error}") from error
        else:
            if end > limit:
                raise _too_large(limit)
            if text.is_complete or _is_whole(text.buffer, end):
                text.drop(end)
                return value
        if length > limit:
            raise _too_large(limit)
        text.extend(max(_CHUNK, length))


def _is_whole(text: str, end: int) -> bool:
    """Return whether a value ends at `end`; a number at the end of the text may continue."""
    space = _SPACE.match(text, end)
    after = space.end() if space is not None else end
    return after < len(text) and (text[after] in ",]" or after < len(text) - _LONGEST_WORD)


def _too_large(limit: int) -> NotAThreadError:
    return NotAThreadError(f"it has more than {limit // 1024 // 1024} MB of JSON")
