"""A bounded parser of GGUF headers, so that a hostile file costs neither memory nor time.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"GGUF"
ALIGNMENT_KEY = "general.alignment"
VOCABULARY_PREFIX = "tokenizer."
"""The prefix of the keys of the vocabulary, which take nearly all the time to read."""

_VERSIONS = (2, 3)
_MAX_ENTRIES = 100_000
_MAX_ELEMENTS = 1_000_000
_MAX_STRING_BYTES = 64 * 1024 * 1024
# What is kept of a header. A real model has less than 200 entries, and less than 1000 layers.
_MAX_KEPT_VALUES = 2000
_MAX_KEPT_STRING_BYTES = 4096
_MAX_KEPT_ELEMENTS = 1024
_MAX_NAME_BYTES = 256
_STRING, _ARRAY = 8, 9
_FORMATS = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
"""The formats of the other value types."""
_LENGTH = struct.Struct("<Q")
_MAX_DIMENSIONS = 8
_DEFAULT_ALIGNMENT = 32

Number = int | float
Value = Number | str | tuple[Number, ...]


class TruncatedHeaderError(Exception):
    """The file ends within its header."""


class DamagedHeaderError(Exception):
    """The header has a value that is impossible in a real model; the message names it."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """The shape of a tensor, and its offset in bytes from the start of the tensor data."""

    shape: tuple[int, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """The header of a GGUF file.

    `values` has no long text, no array of text and no array of more than 1024 numbers.
    `tensor_count` is known even if the tensors were not read. The data of the tensors begins at the
    byte `data_offset`.
    """

    values: Mapping[str, Value]
    tensor_count: int
    tensors: Mapping[str, Tensor]
    data_offset: int

    @property
    def architecture(self) -> str:
        """The name of the architecture, '' if the file has none."""
        return self.text("general.architecture")

    def text(self, key: str) -> str:
        """Return a text of the header, '' if there is none."""
        value = self.values.get(key, "")
        return value if isinstance(value, str) else ""


def read_header(file: BinaryIO) -> GgufHeader:
    """Read the header of a file that is positioned after the magic bytes.

    Raises `TruncatedHeaderError` and `DamagedHeaderError`.
    """
    return _Reader(file).read(vocabulary=True)


def read_properties(file: BinaryIO) -> GgufHeader:
    """Read a header up to its vocabulary, without the tensors: some milliseconds faster.

    Most programs write the properties of a model before its vocabulary. Raises as `read_header`.
    """
    return _Reader(file).read(vocabulary=False)


class _Reader:
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def read(self, *, vocabulary: bool) -> GgufHeader:
        stored = self._read(4)
        version = int.from_bytes(stored, "little")
        if version not in _VERSIONS:
            swapped = int.from_bytes(stored, "big") in _VERSIONS
            raise DamagedHeaderError(
                "it is for computers with big-endian numbers" if swapped
                else f"GGUF version {version}"
            )  # fmt: skip
        tensor_count = self._count("tensors", _MAX_ENTRIES)
        entries = self._count("entries", _MAX_ENTRIES)
        values: dict[str, Value] = {}
        for _ in range(entries):
            key = self._name()
            if not vocabulary and key.startswith(VOCABULARY_PREFIX):
                return GgufHeader(values, tensor_count, {}, 0)
            (kind,) = self._numbers("I", 1)
            value = self._value(int(kind))
            if value is not None and len(values) < _MAX_KEPT_VALUES:
                values[key] = value
        if not vocabulary:
            return GgufHeader(values, tensor_count, {}, 0)
        tensors = {}
        for _ in range(tensor_count):
            name = self._name()
            tensors[name] = self._tensor()
        header_end = self._file.tell()
        alignment = values.get(ALIGNMENT_KEY)
        if not isinstance(alignment, int) or alignment < 1:
            alignment = _DEFAULT_ALIGNMENT
        return GgufHeader(values, tensor_count, tensors, header_end + -header_end % alignment)

    def _tensor(self) -> Tensor:
        (dimensions,) = self._numbers("I", 1)
        if dimensions > _MAX_DIMENSIONS:
            raise DamagedHeaderError(f"{dimensions} dimensions")
        shape = self._numbers("Q", int(dimensions))
        self._numbers("I", 1)  # the data type
        (offset,) = self._numbers("Q", 1)
        return Tensor(tuple(int(each) for each in shape), int(offset))

    def _value(self, kind: int) -> Value | None:
        """Read a value; return None if it is too long to be kept."""
        if kind == _STRING:
            text = self._bytes()
            kept = len(text) <= _MAX_KEPT_STRING_BYTES
            return text.decode("utf-8", "replace") if kept else None
        if kind != _ARRAY:
            (value,) = self._numbers(self._format(kind), 1)
            return value
        (element,) = self._numbers("I", 1)
        count = self._count("array elements", _MAX_ELEMENTS)
        if element == _STRING:
            self._skip_strings(count)
            return None
        element_format = self._format(int(element))
        if count <= _MAX_KEPT_ELEMENTS:
            return self._numbers(element_format, count)
        self._read(count * struct.calcsize(element_format))
        return None

    def _format(self, kind: int) -> str:
        if kind not in _FORMATS:
            raise DamagedHeaderError(f"value type {kind}")
        return _FORMATS[kind]

    def _count(self, kind: str, limit: int) -> int:
        (count,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if count > limit:
            raise DamagedHeaderError(f"{count} {kind}")
        return int(count)

    def _skip_strings(self, count: int) -> None:
        # A vocabulary has some 100,000 strings, so this loop makes no calls that it can avoid.
        read, unpack = self._file.read, _LENGTH.unpack
        for _ in range(count):
            data = read(8)
            if len(data) < 8:
                raise TruncatedHeaderError
            (length,) = unpack(data)
            if length > _MAX_STRING_BYTES:
                raise DamagedHeaderError(f"a string of {length} bytes")
            if len(read(length)) < length:
                raise TruncatedHeaderError

    def _name(self) -> str:
        return self._bytes()[:_MAX_NAME_BYTES].decode("utf-8", "replace")

    def _bytes(self) -> bytes:
        (length,) = _LENGTH.unpack(self._read(_LENGTH.size))
        if length > _MAX_STRING_BYTES:
            raise DamagedHeaderError(f"a string of {length} bytes")
        return self._read(length)

    def _numbers(self, element_format: str, count: int) -> tuple[Number, ...]:
        layout = f"<{count}{element_format}"
        return struct.unpack(layout, self._read(struct.calcsize(layout)))

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise TruncatedHeaderError
        return data


def tensor_sizes(header: GgufHeader, file_bytes: int) -> dict[str, int]:
    """Return the bytes that each tensor takes in a file of `file_bytes`, with its padding.

    They are the distances between the offsets, so no data type needs to be known.
    """
    begins = sorted({each.offset for each in header.tensors.values()})
    ends = [*begins[1:], max(0, file_bytes - header.data_offset)]
    sizes = {begin: max(0, end - begin) for begin, end in zip(begins, ends, strict=True)}
    return {
        name: sizes[each.offset] if math.prod(each.shape) else 0
        for name, each in header.tensors.items()
    }
