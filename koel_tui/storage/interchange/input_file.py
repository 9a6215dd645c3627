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
from itertools import count
from pathlib import Path
from typing import IO, Any

from koel_tui.storage.errors import NotAThreadError
from koel_tui.storage.thread_record import json_decoder, parse_json

MAX_BYTES = 256 * 1024 * 1024
"""The maximum size of a conversation or thread; a larger one, parsed, may not fit in memory."""

MAX_TOTAL_BYTES = 16 * 1024 * 1024 * 1024
"""The maximum size of all JSON of a file, unpacked."""

OnRead = Callable[[int, int], None]
"""Callback for the progress: the bytes that were read, and their expected number."""


class RestError(NotAThreadError):
    """Values of a file were read, but none of those after them can be."""


class ReplacedCharactersError(NotAThreadError):
    """Characters in the values of a file could not be decoded and were replaced."""


_CHUNK = 256 * 1024
_LONGEST_WORD = 16  # characters; JSON that was cut off fails at most this far before its end
_SPACE = re.compile(r"[ \t\r\n]*")
_STRING_END = re.compile(r'"|\\.|\\\Z', re.DOTALL)
_BRACKETS_OR_QUOTE = re.compile(r'"|[\[{]+|[\]}]+')
_BRACKETS_QUOTE_OR_COMMA = re.compile(r'"|[\[{]+|[\]}]+|,')
_MEMBER = re.compile(r"(?:.*/)?conversations(?:-\d+)?\.json")
_COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_PACKED_STARTS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"7z\xbc\xaf\x27\x1c", "7z"),
    (b"Rar!", "rar"),
)


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
    packer = next((name for start, name in _PACKED_STARTS if begin.startswith(start)), None)
    if packer is not None:
        raise NotAThreadError(f"it is packed with {packer}; unpack it first")
    return "zip" if begin.startswith(_ZIP_STARTS) else "json"


def read_json(
    path: Path,
    on_read: OnRead | None = None,
    *,
    limit: int = MAX_BYTES,
    total_limit: int = MAX_TOTAL_BYTES,
) -> Iterator[Any]:
    """Yield the parsed values of a list in a JSON file, or its only value.

    `limit` applies to each value. In place of a value of a list that cannot be read, a
    `NotAThreadError` is yielded, and a `ReplacedCharactersError` at the end if there were such.
    Raises `NotAThreadError` if no value can be read, and `RestError` if no further one can be.
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
    """Yield the values of the lists in a zip file exported by ChatGPT, as `read_json` does.

    A `NotAThreadError` is also yielded for a member that cannot be read to its end. Nothing is
    unpacked to disk, and other members are not read. The sizes in the zip's headers are not
    trusted; `limit` applies to each conversation, `total_limit` to the unpacked bytes of all
    members. Raises `NotAThreadError`.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [info for info in archive.infolist() if _MEMBER.fullmatch(info.filename)]
            chunks = _Chunks(sum(info.file_size for info in members), total_limit, on_read)
            for info in sorted(members, key=lambda info: info.filename):
                yield from _read_member(archive, info, chunks, limit)
    except _ZIP_ERRORS as error:
        if isinstance(error, NotAThreadError):  # a ValueError that has the reason already
            raise
        raise NotAThreadError(f"it is not a complete zip file: {error}") from error
    if not members:
        raise NotAThreadError("there is no conversations.json in it")


def _read_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, chunks: "_Chunks", limit: int
) -> Iterator[Any]:
    """Yield the values of a member; an error at the end if it cannot be read to its end.

    Raises `NotAThreadError` if all members together are too large.
    """
    try:
        if info.compress_type not in _COMPRESSIONS or info.flag_bits & 1:
            raise NotAThreadError("it is encrypted or has an unsupported compression")
        with archive.open(info) as file:
            yield from _read_values(_Text(chunks.read(file)), limit)
    except _ZIP_ERRORS as error:
        if chunks.is_too_much:
            raise
        reason = error if isinstance(error, NotAThreadError) else f"it is not complete: {error}"
        part = "the rest of " if isinstance(error, RestError) else ""
        yield NotAThreadError(f"{part}{info.filename} in it: {reason}")


class _Chunks:
    """Reads files in chunks, reports the progress, and raises beyond a total of `limit` bytes."""

    def __init__(self, expected: int, limit: int, on_read: OnRead | None) -> None:
        self._done, self._expected, self._limit, self._on_read = 0, expected, limit, on_read

    @property
    def is_too_much(self) -> bool:
        """True if more than `limit` bytes were read."""
        return self._done > self._limit

    def read(self, file: IO[bytes]) -> Iterator[bytes]:
        while data := file.read(_CHUNK):
            self._done += len(data)
            if self.is_too_much:
                raise _too_large(self._limit)
            if self._on_read is not None:
                self._on_read(self._done, max(self._done, self._expected))
            yield data


class _Text:
    """The decoded text of a file, of which only the part that is needed is in memory.

    `buffer` is that part; its characters before the index `start` are no longer needed. They are
    removed rarely, because this copies the rest. `values` counts the values that were read from it.
    """

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._decoder: codecs.IncrementalDecoder | None = None
        self._encoding = ""
        self._removed = 0
        self.buffer = ""
        self.start = 0
        self.is_complete = False  # whether the buffer has the end of the file
        self.replaced_encoding = ""  # the one that some bytes are not valid in
        self.values = 0

    @property
    def length(self) -> int:
        """The number of characters in the buffer from `start` on."""
        return len(self.buffer) - self.start

    def position(self, index: int) -> int:
        """Return the number in the file of the character at an index of the buffer."""
        return self._removed + index

    def advance(self, index: int) -> None:
        """Set the start to an index of the buffer."""
        self.start = index
        if self.start >= self.length:  # the copy is not longer than what was read since the last
            self._compact()

    def extend(self, missing: int) -> None:
        """Read at least `missing` characters, unless the file ends before."""
        self._compact()
        # Without another reference to the text, += extends it in place.
        text, self.buffer = self.buffer, ""
        while missing > 0 and not self.is_complete:
            data = next(self._chunks, b"")
            self.is_complete = not data
            piece = self._decode(data)
            missing -= len(piece)
            text += piece
        self.buffer = text

    def first_character(self) -> str:
        """Return the next character that is not white space, without reading it; empty at the end.

        The white space before it is skipped.
        """
        while True:
            space = _SPACE.match(self.buffer, self.start)
            self.advance(self.start if space is None else space.end())
            if self.length:
                return self.buffer[self.start]
            if self.is_complete:
                return ""
            self.extend(1)

    def _compact(self) -> None:
        self.buffer = self.buffer[self.start :]
        self._removed += self.start
        self.start = 0

    def _decode(self, data: bytes) -> str:
        if self._decoder is None:
            self._encoding = json.detect_encoding(data)
            self._decoder = codecs.getincrementaldecoder(self._encoding)("surrogatepass")
        state = self._decoder.getstate()
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError:
            # A damaged character becomes U+FFFD, because all conversations after it would be lost.
            self.replaced_encoding = self._encoding.removesuffix("-sig").upper()
            self._decoder.setstate(state)
            self._decoder.errors = "replace"
            return self._decoder.decode(data, final=not data)


class _UnreadableValueError(NotAThreadError):
    """A value cannot be read, but its end may be found, so that the next one can be."""


def _read_values(text: _Text, limit: int) -> Iterator[Any]:
    """Yield the values, and then an error if characters in them were replaced."""
    failure: NotAThreadError | None = None
    try:
        yield from _read_items(text, limit)
    except NotAThreadError as error:
        failure = RestError(str(error)) if text.values else error
    if text.replaced_encoding:
        yield ReplacedCharactersError(
            f"some characters are not {text.replaced_encoding} and were replaced by \ufffd"
        )
    if failure is not None:
        raise failure


def _read_items(text: _Text, limit: int) -> Iterator[Any]:
    """Yield the values of a list, or the only value; an error for one that cannot be read."""
    if text.first_character() != "[":
        text.extend(limit + 1 - text.length)
        if text.length > limit:
            raise _too_large(limit)
        yield parse_json(text.buffer[text.start :], strict=False)
        return
    text.advance(text.start + 1)
    numbers = count(1)
    if text.first_character() != "]":
        yield _read_item(text, next(numbers), limit)
        while text.first_character() == ",":
            text.advance(text.start + 1)
            text.first_character()
            yield _read_item(text, next(numbers), limit)
    position = text.position(text.start)
    if text.first_character() != "]":
        raise NotAThreadError(f"it is not JSON: the list is cut off at character {position}")
    text.advance(text.start + 1)
    if text.first_character():
        position = text.position(text.start)
        raise NotAThreadError(f"it is not JSON: extra data at character {position}")


def _read_item(text: _Text, number: int, limit: int) -> Any:
    """Return the value at the start of the text; an error if only this one cannot be read."""
    try:
        value = _read_value(text, limit)
    except _UnreadableValueError as error:
        _skip_value(text)
        value = NotAThreadError(f"item {number} of its list: {error}")
    text.values = number
    return value


def _read_value(text: _Text, limit: int) -> Any:
    """Return the value at the start of the text; read more of it until the value is complete."""
    decoder = json_decoder()
    while True:
        try:
            value, end = decoder.raw_decode(text.buffer, text.start)
        except RecursionError as error:
            raise _UnreadableValueError("it is nested too deeply") from error
        except json.JSONDecodeError as error:
            is_cut_off = "Unterminated" in error.msg or error.pos > len(text.buffer) - _LONGEST_WORD
            if text.is_complete or not is_cut_off:
                position = text.position(error.pos)
                reason = f"it is not JSON: {error.msg} at character {position}"
                # The end of a value with an invalid escape can be found.
                kind = _UnreadableValueError if "escape" in error.msg else NotAThreadError
                raise kind(reason) from error
        except ValueError:  # a number with too many digits
            decoder = json_decoder(any_integers=True)
            continue
        else:
            if end - text.start > limit:
                raise _unreadable_too_large(limit)
            if text.is_complete or _is_whole(text.buffer, end):
                text.advance(end)
                return value
        if text.length > limit:
            raise _unreadable_too_large(limit)
        text.extend(max(_CHUNK, text.length // 2))


def _is_whole(text: str, end: int) -> bool:
    """Return whether a value ends at `end`; a number at the end of the text may continue."""
    space = _SPACE.match(text, end)
    after = space.end() if space is not None else end
    return after < len(text) and (text[after] in ",]" or after < len(text) - _LONGEST_WORD)


def _skip_value(text: _Text) -> None:
    """Move the start of the text to the end of its first value, which is not parsed."""
    depth, is_string = 0, False
    while True:
        if is_string:
            pattern = _STRING_END
        else:
            pattern = _BRACKETS_OR_QUOTE if depth else _BRACKETS_QUOTE_OR_COMMA
        found = pattern.search(text.buffer, text.start)
        mark = found[0] if found is not None else ""
        if found is None or mark == "\\":  # of an escaped character that was not read yet
            text.advance(len(text.buffer) - len(mark))
            if text.is_complete:
                return
            text.extend(_CHUNK)
        elif is_string:
            is_string = mark != '"'
            text.advance(found.end())
            if not is_string and not depth:
                return
        elif mark == "," or (not depth and mark[0] in "]}"):
            text.advance(found.start())
            return
        elif mark == '"':
            is_string = True
            text.advance(found.end())
        elif mark[0] in "[{":
            depth += len(mark)
            text.advance(found.end())
        else:
            closed = min(depth, len(mark))
            depth -= closed
            text.advance(found.start() + closed)
            if not depth:
                return


def _too_large(limit: int) -> NotAThreadError:
    return NotAThreadError(_too_large_reason(limit))


def _unreadable_too_large(limit: int) -> _UnreadableValueError:
    return _UnreadableValueError(_too_large_reason(limit))


def _too_large_reason(limit: int) -> str:
    return f"it has more than {limit // 1024 // 1024} MB of JSON"
