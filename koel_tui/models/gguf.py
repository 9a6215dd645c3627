"""A check of a GGUF file before it is loaded: valid header and complete data.

llama.cpp gives the same error for every bad file, and some crash it. This parser limits every
count in the header, so that a hostile file costs neither memory nor time.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import os
import struct
from pathlib import Path
from typing import BinaryIO

from koel_tui.system.regular_files import open_regular

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_ENTRIES = 1_000_000
_MAX_STRING_BYTES = 64 * 1024 * 1024
_UINT32, _STRING, _ARRAY = 4, 8, 9
_SCALAR_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""The sizes in bytes of the other value types."""
_MAX_DIMENSIONS = 8
_DEFAULT_ALIGNMENT = 32


class ModelFileError(Exception):
    """A model file cannot be used; the message has the path, the reason and the next step.

    `path` is the file, `reason` the cause as a clause without a full stop.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"Cannot use {path}: {reason}. Choose another GGUF file.")
        self.path = path
        self.reason = reason


class _TruncatedError(Exception):
    """The file is shorter than its header requires."""


class _ImplausibleError(Exception):
    """The header has a value that is impossible in a real model."""


def check_gguf(path: Path) -> None:
    """Check that `path` is a complete GGUF file; the tensor data is not checked.

    Raises `ModelFileError`.
    """
    try:
        if path.is_dir():
            raise ModelFileError(path, "it is a directory")
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ModelFileError(path, "the file is empty")
            if file.read(4) != _MAGIC:
                raise ModelFileError(path, "it is not a GGUF file")
            last_tensor_begin = _Header(file).last_tensor_offset()
    except FileNotFoundError:
        raise ModelFileError(path, "there is no such file") from None
    except OSError as error:
        raise ModelFileError(path, f"it cannot be read ({error.strerror or error})") from None
    except _TruncatedError:
        raise ModelFileError(path, "the file is cut off within its header") from None
    except _ImplausibleError as error:
        raise ModelFileError(path, f"its header is damaged ({error})") from None
    if size <= last_tensor_begin:
        raise ModelFileError(
            path,
            f"the file is cut off: it has {size:,} bytes and needs more than {last_tensor_begin:,}",
        )


class _Header:
    """A bounded parser of a GGUF header."""

    def __init__(self, file: BinaryIO) -> None:
        """`file` is positioned after the magic bytes."""
        self._file = file

    def last_tensor_offset(self) -> int:
        """Return the byte offset in the file of the last tensor."""
        version = self._number("<I")
        if version not in _VERSIONS:
            raise _ImplausibleError(f"GGUF version {version}")
        tensors, entries = self._count("tensors"), self._count("entries")
        alignment = _DEFAULT_ALIGNMENT
        for _ in range(entries):
            key = self._bytes()
            value = self._skip_value(self._number("<I"))
            if key == b"general.alignment" and value:
                alignment = value
        offset = 0
        for _ in range(tensors):
            self._bytes()
            dimensions = self._number("<I")
            if dimensions > _MAX_DIMENSIONS:
                raise _ImplausibleError(f"{dimensions} dimensions")
            self._read(8 * dimensions + 4)  # the size of each dimension, and the data type
            offset = max(offset, self._number("<Q"))
        header_end = self._file.tell()
        padding = -header_end % alignment
        return header_end + padding + offset

    def _skip_value(self, kind: int) -> int:
        """Skip a value; return it if it is a 32-bit unsigned integer, else 0."""
        if kind == _STRING:
            self._bytes()
        elif kind == _ARRAY:
            element, count = self._number("<I"), self._count("array elements")
            if element == _STRING:
                for _ in range(count):
                    self._bytes()
            else:
                self._read(count * self._scalar_size(element))
        elif kind == _UINT32:
            return self._number("<I")
        else:
            self._read(self._scalar_size(kind))
        return 0

    def _scalar_size(self, kind: int) -> int:
        if kind not in _SCALAR_SIZES:
            raise _ImplausibleError(f"value type {kind}")
        return _SCALAR_SIZES[kind]

    def _count(self, kind: str) -> int:
        count = self._number("<Q")
        if count > _MAX_ENTRIES:
            raise _ImplausibleError(f"{count} {kind}")
        return count

    def _bytes(self) -> bytes:
        length = self._number("<Q")
        if length > _MAX_STRING_BYTES:
            raise _ImplausibleError(f"a string of {length} bytes")
        return self._read(length)

    def _number(self, struct_format: str) -> int:
        (value,) = struct.unpack(struct_format, self._read(struct.calcsize(struct_format)))
        return int(value)

    def _read(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise _TruncatedError
        return data
