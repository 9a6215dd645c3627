"""KV snapshots on disk: a cache that saves the prefill of a conversation, never its only copy.

A file is a line of JSON (fingerprint, tokens, checksums), then llama.cpp's bytes: those of the
context, then the newest checkpoint of a recurrent model. If anything in it is wrong, the
conversation is prefilled again.
"""

import contextlib
import hashlib
import json
import os
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
from koel_tui.models.split_files import parse_part
from koel_tui.system.atomic_write import write_atomically

_FORMAT = "koel-chat/kv 2"
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
        "tokens": parked.tokens,
        "crc32": zlib.crc32(parked.state),
    }
    states = [memoryview(parked.state)]
    if parked.checkpoint is not None:
        saved = parked.checkpoint.state
        header["checkpoint"] = [parked.checkpoint.tokens, len(saved), zlib.crc32(saved)]
        states.append(memoryview(saved))
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        line = json.dumps(header).encode() + b"\n"
        write_atomically(path, line, *states, durable=False)
        _remove_abandoned(path)
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
            tokens = header["tokens"]
            position, size, checksum = header.get("checkpoint", (0, 0, 0))
            state = _read(file, os.fstat(file.fileno()).st_size - file.tell() - size)
            checkpoint = Checkpoint(position, _read(file, size)) if size else None
    except (
        OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, MemoryError
    ):  # fmt: skip
        return None
    is_intact = zlib.crc32(state) == header.get("crc32") and (
        checkpoint is None or zlib.crc32(checkpoint.state) == checksum
    )
    if not (is_intact and isinstance(tokens, list) and all(type(each) is int for each in tokens)):
        return None
    if checkpoint is not None and not (type(position) is int and 0 < position <= len(tokens)):
        return None
    return ParkedContext(tokens, state, checkpoint)


def _read(file: BinaryIO, size: int) -> Buffer:
    """Return the next bytes of a file; incomplete if another process truncates it meanwhile.

    Raises ValueError for a negative size.
    """
    if size < 0:
        raise ValueError(f"{size} bytes")
    content = host_buffer(size)
    file.readinto(content)  # type: ignore[attr-defined]  # a buffered file has it
    return content


def _remove_abandoned(newest: Path) -> None:
    """Remove abandoned unfinished snapshots: they contain conversations and are useless."""
    for path in newest.parent.glob(f".*{newest.suffix}.*.tmp"):
        with contextlib.suppress(OSError):  # another process removed it first
            if time.time() - path.lstat().st_mtime > _ABANDONED_AFTER_S:
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
        if _is_snapshot(path):
            with contextlib.suppress(OSError):  # another process removed it first
                path.unlink()
            total -= sizes[path].st_size


def _is_snapshot(path: Path) -> bool:
    """Return whether a file is one of our snapshots; no other file is ever removed."""
    try:
        with path.open("rb") as file:
            return file.read(len(_FORMAT) + 12).startswith(b'{"format": "' + _FORMAT.encode())
    except OSError:
        return False
