"""A check of a model file before it is loaded: valid header, complete data, a model of text.

llama.cpp gives the same error for every bad file, and some crash it.
"""

import os
from pathlib import Path
from typing import BinaryIO

from koel_tui.models.file_kinds import describe_other_format, is_ollama_blob, why_no_model
from koel_tui.models.gguf_header import (
    MAGIC,
    DamagedHeaderError,
    GgufHeader,
    TruncatedHeaderError,
    read_header,
    read_properties,
)
from koel_tui.models.split_files import parse_part
from koel_tui.system.regular_files import open_regular

_START_BYTES = 64
"""The bytes in which another format is recognized."""


class ModelFileError(Exception):
    """A model file cannot be used; the message has the path, the reason and the next step.

    `path` is the file, `reason` the cause as a clause without a full stop.
    """

    def __init__(self, path: Path, reason: str) -> None:
        super().__init__(f"Cannot use {path}: {reason}. Choose another GGUF file.")
        self.path = path
        self.reason = reason


def check_gguf(path: Path) -> None:
    """Check that `path` is a complete GGUF file of a model; the tensor data is not checked.

    For a part of a split model, the other parts must exist. Raises `ModelFileError`.
    """
    header, size = read_gguf(path)
    last_tensor = max((each.offset for each in header.tensors.values()), default=0)
    needed = header.data_offset + last_tensor
    if size <= needed and header.tensor_count:
        raise ModelFileError(
            path, f"the file is cut off: it has {size:,} bytes and needs more than {needed:,}"
        )
    part = parse_part(path.name)
    if part is not None:
        check_parts(path)
    # The later parts of a split model have no properties.
    reason = why_no_model(header) if part is None or part.number == 1 else ""
    if reason:
        raise ModelFileError(path, reason)
    if size <= needed:
        raise ModelFileError(path, "it has no weights")


def check_parts(path: Path) -> None:
    """Check that the parts of a split model are all there. Raises `ModelFileError`."""
    part = parse_part(path.name)
    if part is None:
        return
    missing = [name for name in part.names() if not path.with_name(name).is_file()]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise ModelFileError(
            path, f"{len(missing)} of its {part.total} parts {verb} missing ({missing[0]})"
        )


def quick_reason(path: Path) -> str:
    """Return why a file is certainly no model of text, as a clause; '' if it may be one.

    Reads only the first kilobytes, so a list of files can be checked. A file that cannot be read
    may be a model: its use tells the error.
    """
    try:
        with open_regular(path) as file:
            if file.read(len(MAGIC)) != MAGIC:
                return ""
            return why_no_model(read_properties(file))
    except (OSError, TruncatedHeaderError, DamagedHeaderError):
        return ""


def read_gguf(path: Path, *, vocabulary: bool = True) -> tuple[GgufHeader, int]:
    """Return the header of a GGUF file and the size of the file. Raises `ModelFileError`.

    Without `vocabulary`, only the properties before it are read, as by `read_properties`.
    """
    try:
        if path.is_dir():
            raise ModelFileError(path, "it is a directory")
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size == 0:
                raise ModelFileError(path, "the file is empty")
            _check_magic(path, file)
            return (read_header if vocabulary else read_properties)(file), size
    except FileNotFoundError:
        reason = "there is no such file"
        if is_ollama_blob(path):
            reason = "the file is gone: Ollama has removed this model or downloaded a newer one"
        raise ModelFileError(path, reason) from None
    except OSError as error:
        raise ModelFileError(path, f"it cannot be read ({error.strerror or error})") from None
    except TruncatedHeaderError:
        raise ModelFileError(path, "the file is cut off within its header") from None
    except DamagedHeaderError as error:
        raise ModelFileError(path, f"its header is damaged ({error})") from None


def _check_magic(path: Path, file: BinaryIO) -> None:
    start = file.read(_START_BYTES)
    if not start.startswith(MAGIC):
        other = describe_other_format(start)
        reason = "it is not a GGUF file"
        raise ModelFileError(path, f"{reason}, but {other}" if other else reason)
    file.seek(len(MAGIC))
