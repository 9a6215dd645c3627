"""KV snapshots on disk: a cache that saves the prefill of a conversation, never its only copy.

A file is a line of JSON (fingerprint, parts of the prompt, checksums), then llama.cpp's bytes:
those of the context, then the newest checkpoint of a recurrent model. If anything in it is wrong,
the conversation is prefilled again.
"""

import contextlib
import hashlib
import json
import os
import re
import stat
import time
import zlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from koel_tui.engine.errors import EngineError
from koel_tui.engine.native.context.checkpoints import Checkpoint
from koel_tui.engine.native.context.host_buffer import Buffer, host_buffer
from koel_tui.engine.native.context.parked_contexts import ParkedContext
from koel_tui.engine.native.context.prompt_parts import MediaPart, Part, PromptParts
from koel_tui.engine.native.context.sequence_state import SequenceState
from koel_tui.models.split_files import parse_part
from koel_tui.system.atomic_write import write_atomically

_FORMAT_NUMBER = 3
_FORMAT = f"koel-chat/kv {_FORMAT_NUMBER}"
_BEGINNING = re.compile(rb'\{"format": "koel-chat/kv (\d{1,4})"')
_MAX_HEADER_BYTES = 64 * 1024 * 1024
_SAMPLE_BYTES = 1024 * 1024
_ABANDONED_AFTER_S = 3600.0
"""Age in seconds at which an unfinished snapshot is treated as left by a killed process."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The values that must all be equal for a saved state to be valid."""

    library: str
    model: str
    kv_type: str
    lora: str


def file_id(path: Path) -> str:
    """Return an identifier of a file: its size and the hash of its first and last MiB.

    Files of weights are too large to hash completely each time. A model in several files,
    `name-00001-of-00003.gguf` and so on, has one identifier for all of them.
    """
    part = parse_part(path.name)
    if part is None:
        return _single_file_id(path)
    files = map(path.with_name, part.names())
    file_ids = " ".join(_single_file_id(file) if file.is_file() else "none" for file in files)
    return f"{part.total} files:{hashlib.sha256(file_ids.encode()).hexdigest()}"


def _single_file_id(path: Path) -> str:
    size = path.stat().st_size
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_SAMPLE_BYTES))
        file.seek(max(0, size - _SAMPLE_BYTES))
        digest.update(file.read(_SAMPLE_BYTES))
    return f"{size}:{digest.hexdigest()}"


def write_snapshot(
    path: Path, fingerprint: Fingerprint, parked: ParkedContext, budget: int
) -> None:
    """Write a snapshot atomically, readable by its owner only, and keep its folder within budget.

    The oldest other snapshots in the folder are removed until all fit `budget` bytes. Raises
    `EngineError` when it cannot be written; an existing snapshot is then unchanged.
    """
    header: dict[str, object] = {
        "format": _FORMAT,
        **asdict(fingerprint),
        "tokens": [_encode_part(part) for part in parked.parts],
        "tail": parked.state.tail,
        "crc32": zlib.crc32(parked.state.data),
    }
    states = [memoryview(parked.state.data)]
    if parked.checkpoint is not None:
        saved = parked.checkpoint.state.data
        header["checkpoint"] = [parked.checkpoint.parts, len(saved), zlib.crc32(saved)]
        states.append(memoryview(saved))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = json.dumps(header).encode() + b"\n"
        write_atomically(path, line, *states, durable=False)
        _remove_useless(path)
        _enforce_budget(path, budget)
    except OSError as error:
        raise EngineError(
            f"Cannot write the snapshot {path}: {error.strerror or error}. "
            "The conversation is not affected; it will be read again when it is resumed."
        ) from error


def read_snapshot(path: Path, fingerprint: Fingerprint) -> ParkedContext | None:
    """Return the content of a snapshot, None if absent, damaged or of another fingerprint."""
    try:
        with path.open("rb") as file:
            header = json.loads(file.readline(_MAX_HEADER_BYTES))
            expected = {"format": _FORMAT, **asdict(fingerprint)}
            if any(header.get(key) != value for key, value in expected.items()):
                return None
            parts = PromptParts(map(_decode_part, header["tokens"]))
            position, size, checksum = header.get("checkpoint", (0, 0, 0))
            state = _read(file, os.fstat(file.fileno()).st_size - file.tell() - size)
            tail = _check_tail(header.get("tail", 0), len(state))
            saved = _read(file, size)
            checkpoint = Checkpoint(position, SequenceState(saved)) if size else None
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError
    ):  # fmt: skip
        return None
    is_intact = zlib.crc32(state) == header.get("crc32") and (
        checkpoint is None or zlib.crc32(saved) == checksum
    )
    if not is_intact:
        return None
    if checkpoint is not None and not (type(position) is int and 0 < position <= len(parts)):
        return None
    return ParkedContext(parts, SequenceState(state, tail), checkpoint)


def _encode_part(part: Part) -> int | list[object]:
    """Return a part as JSON: a token as its number, media as `[id, tokens, positions]`."""
    return part if isinstance(part, int) else [part.id, part.tokens, part.positions]


def _decode_part(value: object) -> Part:
    """Return the part of a JSON value. Raises ValueError if it is none."""
    match value:
        case bool():
            pass
        case int():
            return value
        case [str(name), int(tokens), int(positions)] if tokens > 0 and positions > 0:
            return MediaPart(name, tokens, positions)
    raise ValueError(f"not a part of a prompt: {value!r:.100}")


def _check_tail(value: object, size: int) -> int:
    """Return the size of the second part of a state. Raises ValueError if it is invalid."""
    if isinstance(value, int) and 0 <= value <= size:
        return value
    raise ValueError(f"not the size of a part: {value!r:.100}")


def _read(file: BinaryIO, size: int) -> Buffer:
    """Return the next bytes of a file; incomplete if another process truncates it meanwhile.

    Raises ValueError for a negative size.
    """
    if size < 0:
        raise ValueError(f"{size} bytes")
    content = host_buffer(size)
    file.readinto(content)  # type: ignore[attr-defined]  # a buffered file has it
    return content


def _remove_useless(newest: Path) -> None:
    """Remove snapshots of older formats, and unfinished ones of processes that were killed.

    They are useless and contain conversations.
    """
    for path in newest.parent.glob(f".*{newest.suffix}.*.tmp"):
        with contextlib.suppress(OSError):  # another process removed it first
            if time.time() - path.lstat().st_mtime > _ABANDONED_AFTER_S:
                path.unlink()
    for path in newest.parent.glob(f"*{newest.suffix}"):
        number = _format_number(path)
        if number is not None and number < _FORMAT_NUMBER:
            with contextlib.suppress(OSError):
                path.unlink()


def _enforce_budget(newest: Path, budget: int) -> None:
    """Remove the oldest snapshots in the folder of `newest` until all fit `budget` bytes.

    Other processes write and remove snapshots in the same folder at the same time.
    """
    sizes = {}
    for path in newest.parent.glob(f"*{newest.suffix}"):
        with contextlib.suppress(OSError):  # it was removed meanwhile
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                sizes[path] = status
    total = sum(status.st_size for status in sizes.values())
    sizes.pop(newest, None)
    for path in sorted(sizes, key=lambda each: sizes[each].st_mtime_ns):
        if total <= budget:
            return
        if _format_number(path) is not None:
            with contextlib.suppress(OSError):  # another process removed it first
                path.unlink()
            total -= sizes[path].st_size


def _format_number(path: Path) -> int | None:
    """Return the format of a snapshot, None for any other file, which is never removed."""
    try:
        with path.open("rb") as file:
            beginning = _BEGINNING.match(file.read(64))
    except OSError:
        return None
    return None if beginning is None else int(beginning[1])
